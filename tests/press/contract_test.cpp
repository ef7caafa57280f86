// A press that breaks the rules of press.h is stopped, and named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "engine/random_model.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/kit/window.h"
#include "kvpress/press/registry.h"
#include "small_model.h"

namespace kvpress {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Does what a test wants, and asks for what it wants.
class Scoring : public Scorer<Scoring> {
 public:
  using Body = std::function<void(const LayerView&, Scores&)>;
  explicit Scoring(Body body, PressNeeds needs = {}) : body_(std::move(body)), needs_(needs) {}
  PressNeeds needs() const override { return needs_; }
  void score(const LayerView& layer, Scores& scores) override { body_(layer, scores); }

 private:
  Body body_;
  PressNeeds needs_;
};

class Choosing : public Selector<Choosing> {
 public:
  using Body = std::function<Kept(const LayerView&)>;
  explicit Choosing(Body body) : body_(std::move(body)) {}
  Kept select(const LayerView& layer) override { return body_(layer); }

 private:
  Body body_;
};

class OverAll : public ContextPress<OverAll> {
 public:
  using Body = std::function<void(const ContextView&)>;
  explicit OverAll(Body body) : body_(std::move(body)) {}
  void compress_context(const ContextView& context) override { body_(context); }

 private:
  Body body_;
};

const Model& model() {
  static const Model model = random_model(test::small_config(), {false, DType::f32}, 1);
  return model;
}

void set_all(Scores& scores, float value) {
  for (auto& row : scores) std::fill(row.begin(), row.end(), value);
}

/// What a run with the press says; empty if nothing.
std::string complaint(std::shared_ptr<Press> press) {
  const NamedPress named{"mine(of=1)", std::move(press)};
  Compressor compressor(named.plan(Budget::of_ratio(0.5)));
  KVCache cache = compressor.make_cache(model(), DType::f32);
  try {
    compressor.forward(model(), test::random_text(20).ids, cache, {});
  } catch (const PressError&) {
    return "nobody named the press";
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string complaint_of_scores(Scoring::Body body, PressNeeds needs = {}) {
  return complaint(std::make_shared<Scoring>(std::move(body), needs));
}

std::string complaint_of_kept(std::vector<std::int32_t> kept, std::int64_t layer = 1) {
  return complaint(std::make_shared<Choosing>([=](const LayerView& view) {
    return view.block.layer == layer ? Kept{{0, 1, 2}, kept} : Kept{};
  }));
}

TEST(Contract, AScoreIsANumber) {
  const auto message = complaint_of_scores([](const LayerView& layer, Scores& scores) {
    set_all(scores, 0);
    if (layer.block.layer == 1) scores[1][7] = kNaN;
  });
  EXPECT_THAT(message, AllOf(StartsWith("press mine(of=1): layer 1: "), HasSubstr("entry 7 of KV head 1")));
}

// The second run gets memory that held scores before.
TEST(Contract, EveryEntryHasAScore) {
  EXPECT_EQ(complaint_of_scores([](const LayerView&, Scores& scores) { set_all(scores, 1); }), "");
  const auto message = complaint_of_scores([](const LayerView&, Scores& scores) {
    for (auto& row : scores) std::fill(row.begin(), row.end() - 1, 1.0f);
  });
  EXPECT_THAT(message, AllOf(StartsWith("press mine(of=1): layer 0: "), HasSubstr("entry 19 of KV head 0"),
                             HasSubstr("was not given")));
}

TEST(Contract, AScoreMayBeInfinite) {
  EXPECT_EQ(complaint_of_scores([](const LayerView&, Scores& scores) {
              set_all(scores, 0);
              scores[0][3] = -kInfinity;
              scores[1][4] = kInfinity;
            }),
            "");
}

TEST(Contract, InsideOtherPressesToo) {
  class Broken : public Scorer<Broken> {
   public:
    void score(const LayerView&, Scores& scores) override {
      set_all(scores, 0);
      scores[0][0] = kNaN;
    }
  };
  static const PressEntry entry{"broken_score", "gives no number", "", "nothing", make_press<Broken>, "none", "none",
                                "never"};
  register_press(entry);
  for (const std::string text : {"adakv(broken_score)", "chunkkv(broken_score)", "composed(broken_score, knorm)"}) {
    Compressor compressor(parse_press(text).plan(Budget::of_ratio(0.5)));
    KVCache cache = compressor.make_cache(model(), DType::f32);
    try {
      compressor.forward(model(), test::random_text(20).ids, cache, {});
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), AllOf(StartsWith("press " + text + ": layer 0: "), HasSubstr("not a number")));
    }
  }
}

TEST(Contract, IndicesAscendAndAreThere) {
  EXPECT_EQ(complaint_of_kept({0, 5, 19}), "");
  EXPECT_THAT(complaint_of_kept({5, 4}), AllOf(StartsWith("press mine(of=1): layer 1: "), HasSubstr("must ascend")));
  EXPECT_THAT(complaint_of_kept({4, 4}), HasSubstr("entry 4 of KV head 1 twice"));
  EXPECT_THAT(complaint_of_kept({4, 20}), HasSubstr("entry 20 of KV head 1, which has 20"));
  EXPECT_THAT(complaint_of_kept({-1, 3}), HasSubstr("entry -1"));
  EXPECT_THAT(complaint(std::make_shared<Choosing>([](const LayerView&) { return Kept{{0}}; })),
              HasSubstr("entries of 1 KV head; the model has 2"));
}

TEST(Contract, OfAllLayersAtOnceToo) {
  const auto message = complaint(std::make_shared<OverAll>([](const ContextView& context) {
    context.keep(1, {{0}, {2, 1}});
  }));
  EXPECT_THAT(message, AllOf(StartsWith("press mine(of=1): layer 1: "), HasSubstr("must ascend")));
}

TEST(Contract, OnlyWhatWasAskedForIsRead) {
  const Scoring::Body attention = [](const LayerView& layer, Scores& scores) {
    set_all(scores, 0);
    layer.accumulated_attention(0);
  };
  EXPECT_THAT(complaint_of_scores(attention), HasSubstr("accumulated attention"));
  EXPECT_EQ(complaint_of_scores(attention, {.accumulated_attention = true}), "");

  const Scoring::Body queries = [](const LayerView& layer, Scores& scores) {
    set_all(scores, 0);
    layer.recent_queries.row(0);
  };
  EXPECT_THAT(complaint_of_scores(queries), HasSubstr("recent query 0 of 0"));
  EXPECT_EQ(complaint_of_scores(queries, {.recent_queries = 1}), "");
  EXPECT_THAT(complaint_of_scores([](const LayerView& layer, Scores& scores) {
                static_cast<void>(window_attention(layer, 4, scores));
              }),
              HasSubstr("recent queries"));

  const Scoring::Body carried = [](const LayerView& layer, Scores& scores) {
    set_all(scores, 0);
    layer.carried(0, 1);
  };
  EXPECT_THAT(complaint_of_scores(carried), HasSubstr("carried float 1"));
  EXPECT_THAT(complaint_of_scores(carried, {.accumulated_attention = true, .n_carried = 1}),
              HasSubstr("n_carried is 1"));
  EXPECT_EQ(complaint_of_scores(carried, {.accumulated_attention = true, .n_carried = 2}), "");
}

TEST(Contract, AValueIsOneThatTheCacheHolds) {
  const auto message = complaint_of_scores([](const LayerView& layer, Scores&) {
    std::vector<float> value(static_cast<std::size_t>(layer.block.config.head_dim), kInfinity);
    layer.write_value(0, 3, value.data());
  });
  EXPECT_THAT(message, HasSubstr("writes inf as a value of KV head 0"));
}

}  // namespace
}  // namespace kvpress
