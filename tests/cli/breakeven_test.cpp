// kvpress breakeven, as a person runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <string>

#include "cli/program.h"

namespace kvpress {
namespace {

using Json = nlohmann::json;
using test::content_of;
using test::Ended;
using test::run_program;
using test::TemporaryFolder;
using testing::HasSubstr;

TEST(BreakEven, OneTextTwoPressesTwoContexts) {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "out").string();
  const Ended ended = run_program(
      "breakeven -m demo --presses knorm,streaming_llm --ratios 0.75,0.5 --context-tokens 256,128 --answers 10,100 "
      "--decode-tokens 24 --score-tokens 192 --repeats 2 --quiet -o " +
      out);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(ended.err, "");
  EXPECT_THAT(ended.out, HasSubstr("Context of 128 tokens: prefill "));
  EXPECT_THAT(ended.out, HasSubstr("at 100"));
  EXPECT_THAT(ended.out, HasSubstr("With streaming_llm at 0."));

  const Json json = Json::parse(content_of(out + "/breakeven.json"));
  EXPECT_EQ(json["dataset"], "pg19/test");
  ASSERT_EQ(json["contexts"].size(), 2);
  const Json& context = json["contexts"][1];
  EXPECT_EQ(context["context_tokens"], 256);
  EXPECT_EQ(context["n_scored_tokens"], 192);
  EXPECT_EQ(context["measured_answer_tokens"], 24);
  EXPECT_EQ(context["full"]["cache_tokens"], 256);
  ASSERT_EQ(context["runs"].size(), 4);
  const Json& run = context["runs"][3];
  EXPECT_EQ(run["press"], "streaming_llm");
  EXPECT_EQ(run["compression_ratio"], 0.75);
  EXPECT_EQ(run["cache_tokens"], 64);
  // The saving at 10 tokens, added up from what each token took.
  double saved = -run["compress_sec"].get<double>();
  for (std::size_t i = 0; i < 10; ++i) {
    saved += context["full"]["token_sec"][i].get<double>() - run["token_sec"][i].get<double>();
  }
  EXPECT_NEAR(run["answers"][0]["saved_sec"].get<double>(), saved, 1e-9);
  EXPECT_EQ(run["answers"][0]["measured"], true);
  EXPECT_EQ(run["answers"][1]["measured"], false);
  EXPECT_THAT(content_of(out + "/breakeven.png"), HasSubstr("PNG"));
  EXPECT_THAT(content_of(out + "/breakeven.svg"), HasSubstr("</svg>"));
  EXPECT_THAT(content_of(out + "/breakeven.csv"), HasSubstr("\n256,streaming_llm,0.75,64,"));
}

TEST(BreakEven, QualityIsThatOfContinuation) {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "out").string();
  ASSERT_EQ(run_program("breakeven -m demo --press knorm --ratios 0.5 --context-tokens 256 --score-tokens 192 "
                        "--decode-tokens 2 --repeats 1 --quiet -o " +
                        out)
                .code,
            0);
  const Json run = Json::parse(content_of(out + "/breakeven.json"))["contexts"][0]["runs"][0];
  const Ended ended = run_program(
      "compare -m demo --dataset pg19 --max-tokens 448 --context-tokens 256 --protocol continuation --presses knorm "
      "--ratios 0.5 --format json --quiet");
  ASSERT_EQ(ended.code, 0) << ended.err;
  const Json other = Json::parse(ended.out)["runs"][0];
  for (const char* key : {"perplexity", "delta_nll", "kl_full"}) EXPECT_EQ(run[key], other[key]) << key;
  EXPECT_EQ(run["delta_nll_ci95"], other["delta_nll_ci95"]);
}

TEST(BreakEven, SaysWhatIsWrong) {
  const auto error = [](const std::string& arguments) {
    const Ended ended = run_program("breakeven -m demo --quiet " + arguments);
    EXPECT_EQ(ended.code, 2) << arguments;
    return ended.err;
  };
  EXPECT_THAT(error("--ratios 0.5,1"), HasSubstr("--ratios: 1 is not a compression ratio"));
  EXPECT_THAT(error("--ratios 0"), HasSubstr("--ratios: 0 is the full cache"));
  EXPECT_THAT(error("--press no_press"), HasSubstr("--presses: no_press is always measured"));
  EXPECT_THAT(error("--press 'decoding(knorm)'"), HasSubstr("decoding(knorm) compresses during decode"));
  EXPECT_THAT(error("--press nosuch"), HasSubstr("nosuch"));
  EXPECT_THAT(error("--context-tokens 0"), HasSubstr("--context-tokens: 0 is too small; at least 1 is needed"));
  EXPECT_THAT(error("--context-tokens 100000"), HasSubstr("leaves nothing to score within the"));
  EXPECT_THAT(error("--context-tokens 1000000 --score-tokens 10"), HasSubstr("leaves nothing to score: the longest"));
  EXPECT_THAT(error("--answers 0"), HasSubstr("--answers: 0 is too small; at least 1 is needed"));
  EXPECT_THAT(error("--answers 2000000"), HasSubstr("--answers: 2000000 is too large; at most 1000000"));
  EXPECT_THAT(error("--tolerance 0"), HasSubstr("--tolerance: 0 is not above 0"));
  EXPECT_THAT(error("--repeats 0"), HasSubstr("--repeats: 0 is too small; at least 1"));
  EXPECT_THAT(error("--decode-tokens 1"), HasSubstr("--decode-tokens: 1 is too small; at least 2"));
}

}  // namespace
}  // namespace kvpress
