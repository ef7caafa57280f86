#include "kvpress/press/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "kvpress/base/error.h"
#include "kvpress/press/budget.h"
#include "press/flat_names.h"
#include "press/parameter_values.h"
#include "press/spec.h"

namespace kvpress {
namespace {

using testing::HasSubstr;

std::string complaint(const std::string& text) {
  try {
    parse_press(text);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(Registry, NamesAreGivenOnce) {
  std::set<std::string_view> names;
  for (const PressEntry* entry : press_entries()) EXPECT_TRUE(names.insert(entry->name).second) << entry->name;
  for (const FlatName& it : flat_names()) EXPECT_TRUE(it.registry_only || names.insert(it.name).second) << it.name;
}

TEST(Registry, EveryNameMakesItsPressWithDefaults) {
  for (const PressEntry* entry : press_entries()) {
    const auto parameters = parameters_of(*entry->make());
    // A press without a default goes inside.
    const bool wants_press =
        std::any_of(parameters.begin(), parameters.end(), [](const auto& it) { return it.value.empty(); });
    const std::string inner = wants_press ? "knorm, " : "";
    const NamedPress press = parse_press(std::string(entry->name) + (wants_press ? "(knorm)" : ""));
    EXPECT_NE(press.press, nullptr) << entry->name;
    for (const ParameterValue& it : parameters) {
      // What is listed as a default can be written back.
      if (it.value.empty()) continue;
      EXPECT_NO_THROW(parse_press(std::string(entry->name) + "(" + inner + it.name + "=" + it.value + ")"))
          << entry->name;
    }
    for (const std::string_view text : {entry->summary, entry->needs, entry->idea, entry->formula, entry->when}) {
      EXPECT_FALSE(text.empty()) << entry->name;
    }
  }
  EXPECT_TRUE(parse_press("no_press").is_none());
}

TEST(Registry, PressesNest) {
  const NamedPress press = parse_press("adakv( snapkv(window_size=8), alpha_safeguard = 0.5 )");
  EXPECT_EQ(press.press->needs().recent_queries, 8);
  EXPECT_EQ(parse_press("adakv(press=tova)").press->needs().recent_queries, 1);
  EXPECT_EQ(parameters_of(*press.press->clone()).front().value, "snapkv(window_size=8)");
  EXPECT_THAT(complaint("adakv"), testing::AllOf(HasSubstr("inside"), HasSubstr("knorm")));
  EXPECT_THAT(complaint("adakv(no_press)"), HasSubstr("scores"));
  EXPECT_THAT(complaint("adakv(adakv(knorm))"), testing::AllOf(HasSubstr("scores"), HasSubstr("knorm")));
  EXPECT_THAT(complaint("adakv(knrom)"), HasSubstr("'knrom'"));
  EXPECT_THAT(complaint("adakv(snapkv(window_size=0))"), HasSubstr("below 1"));
  EXPECT_THAT(complaint("adakv(knorm, alpha_safeguard=2)"), HasSubstr("above 1"));
  EXPECT_THAT(complaint("adakv(knorm, tova)"), HasSubstr("no more presses"));
}

TEST(Registry, ParametersReachThePress) {
  const NamedPress press = parse_press(" snapkv( window_size = 32 , kernel_size=7 ) ");
  const auto copy = press.press->clone();
  EXPECT_EQ(copy->needs().recent_queries, 32);
}

TEST(Registry, WrongPressesAreExplained) {
  EXPECT_THAT(complaint("knrom"), testing::AllOf(HasSubstr("'knrom'"), HasSubstr("knorm")));
  EXPECT_THAT(complaint("snapkv(window=3)"), testing::AllOf(HasSubstr("'window'"), HasSubstr("window_size")));
  EXPECT_THAT(complaint("snapkv(window_size=0)"), HasSubstr("below 1"));
  EXPECT_THAT(complaint("snapkv(window_size=3.5)"), HasSubstr("whole number"));
  EXPECT_THAT(complaint("snapkv(window_size=99999999999999999999)"), HasSubstr("whole number"));
  EXPECT_THAT(complaint("expected_attention(epsilon=nan)"), HasSubstr("a number"));
  EXPECT_THAT(complaint("expected_attention(use_vnorm=maybe)"), HasSubstr("true or false"));
  EXPECT_THAT(complaint("snapkv(window_size=3"), HasSubstr("without its )"));
  EXPECT_THAT(complaint("snapkv)"), HasSubstr("without its ("));
  EXPECT_THAT(complaint("snapkv(3)"), HasSubstr("parameter=value"));
  EXPECT_THAT(complaint("snapkv()x"), HasSubstr("after the )"));
  EXPECT_THAT(complaint("knorm(a=1)"), HasSubstr("it has none"));
  EXPECT_THAT(complaint(""), HasSubstr("empty"));
  EXPECT_THAT(complaint("no_press(a=1)"), HasSubstr("no parameters"));
  for (const std::size_t depth : {17u, 500u, 10000u, 1000000u}) {
    std::string deep;
    for (std::size_t i = 0; i < depth; ++i) deep += "adakv(";
    const std::string said = complaint(deep + "knorm" + std::string(depth, ')'));
    EXPECT_THAT(said, HasSubstr(depth > 500 ? "characters; 4096 are the most" : "nests more than 16 deep"));
    EXPECT_LT(said.size(), 200u);
  }
  const std::string said = complaint("composed(" + std::string(10000, 'a') + ")");
  EXPECT_THAT(said, HasSubstr("has 10010 characters"));
  EXPECT_LT(said.size(), 200u);
}

TEST(Registry, SchedulesAreWrittenAsPresses) {
  const NamedPress decoding = parse_press("decoding(knorm, compression_interval=8, target_size=32)");
  EXPECT_EQ(decoding.press, nullptr);
  ASSERT_TRUE(decoding.decoding.has_value());
  EXPECT_EQ(decoding.decoding->compression_interval, 8);
  EXPECT_EQ(decoding.decoding->target_size, 32);

  const NamedPress ratio = parse_press("compression_ratio_decoding(tova, target_compression_ratio=0.25)");
  EXPECT_EQ(ratio.decoding->target_size, std::nullopt);
  EXPECT_EQ(ratio.decoding->ratio, 0.25);

  const NamedPress both = parse_press("prefill_decoding(snapkv(window_size=9), decoding_press=tova, target_size=7)");
  EXPECT_EQ(both.press->needs().recent_queries, 9);
  EXPECT_EQ(both.decoding->press->needs().recent_queries, 1);

  EXPECT_NE(parse_press("decoding(kvzip)").decoding->press, nullptr);
  EXPECT_THAT(complaint("composed(kvzip, knorm)"), HasSubstr("layer by layer"));
  EXPECT_THAT(complaint("adakv(decoding(knorm))"), HasSubstr("cannot be inside"));
  EXPECT_THAT(complaint("decoding"), HasSubstr("inside"));
  EXPECT_THAT(complaint("prefill_decoding(snapkv)"), HasSubstr("inside"));
}

TEST(Registry, ThePlanFollowsFromPressAndOptions) {
  const NamedPress decoding = parse_press("decoding(knorm, target_size=32)");
  CompressionPlan plan = decoding.plan({0.5, {}});
  EXPECT_EQ(plan.prefill, nullptr);
  EXPECT_EQ(plan.decoding, decoding.decoding->press.get());
  EXPECT_EQ(plan.decoding_budget.n_kept(1000), 32);
  plan = decoding.plan({0.5, {}}, 4, Budget::of_tokens(16));  // options go before what is written
  EXPECT_EQ(plan.compression_interval, 4);
  EXPECT_EQ(plan.decoding_budget.n_kept(1000), 16);

  const NamedPress knorm = parse_press("knorm");
  EXPECT_EQ(knorm.plan({0.5, {}}).prefill, knorm.press.get());
  EXPECT_EQ(knorm.plan({0.5, {}}).decoding, nullptr);
  EXPECT_EQ(knorm.plan({0.0, {}}).prefill, nullptr);  // a ratio of 0 does not even ask the press
  EXPECT_EQ(knorm.plan({0.0, {}}, 4, Budget::of_tokens(16)).decoding, knorm.press.get());
  // Without a number of its own a ratio while decoding is the run's.
  EXPECT_EQ(parse_press("compression_ratio_decoding(knorm)").plan({0.25, {}}).decoding_budget.n_kept(100), 75);
}

TEST(Registry, FlatNamesStandForCompositions) {
  EXPECT_EQ(parse_press("adakv_snapkv").press->needs().recent_queries, 64);
  // A parameter goes to whichever press has it.
  const NamedPress press = parse_press("adakv_snapkv(window_size=5, alpha_safeguard=0)");
  EXPECT_EQ(press.press->needs().recent_queries, 5);
  EXPECT_EQ(parse_press("decoding_knorm(target_size=9)").decoding->target_size, 9);
  EXPECT_THAT(complaint("adakv_snapkv(window=5)"), testing::AllOf(HasSubstr("'window'"), HasSubstr("known")));
  EXPECT_THAT(complaint("adakv_snapkv(tova)"), HasSubstr("parameter=value"));
  // One name means two things in kvpress: the method, and what its evaluation runs under that name.
  EXPECT_EQ(parse_press("expected_attention").press->kind(), PressKind::scores);
  EXPECT_EQ(parse_press("expected_attention", Names::registry).press->kind(), PressKind::selection);
}

TEST(Registry, EveryFlatNameOfKvpressIsKnown) {
  for (const FlatName& it : flat_names()) {
    try {
      EXPECT_FALSE(parse_press(std::string(it.name), Names::registry).is_none()) << it.name;
    } catch (const UsageError& error) {
      ADD_FAILURE() << it.name << ": " << error.what();
    }
  }
}

TEST(Spec, SplitsOutsideParenthesesOnly) {
  EXPECT_EQ(split_presses("a, b(c=1,d=2) ,e"), (std::vector<std::string>{"a", "b(c=1,d=2)", "e"}));
  EXPECT_THROW(split_presses("a,,b"), UsageError);
  EXPECT_THROW(split_presses("a,"), UsageError);
}

TEST(Budget, TruncatesInDoublesAsKvpressDoes) {
  const auto kept = [](std::int64_t n, double ratio) { return Budget{ratio, {}}.n_kept(n); };
  EXPECT_EQ(kept(10, .9), 1);  // 0 truncated, but never nothing
  EXPECT_EQ(kept(30, .9), 2);
  EXPECT_EQ(kept(100, .9), 9);
  EXPECT_EQ(kept(128, .3), 89);
  EXPECT_EQ(kept(256, .7), 76);
  EXPECT_EQ(kept(20, .7), 6);
  EXPECT_EQ(kept(1000, .1), 900);
  EXPECT_EQ(kept(4096, .875), 512);
  EXPECT_EQ((Budget{0.5, 7}.n_kept(1000)), 7);
}

}  // namespace
}  // namespace kvpress
