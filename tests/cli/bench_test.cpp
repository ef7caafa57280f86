// kvpress bench, as a person runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>

#include "cli/program.h"

namespace kvpress {
namespace {

using Json = nlohmann::json;
using test::Ended;
using test::run_program;
using test::TemporaryFolder;
using testing::HasSubstr;

TEST(Bench, TellsPrefillDecodingAndAttention) {
  const TemporaryFolder folder;
  const std::string file = (folder.path() / "bench.json").string();
  const Ended ended = run_program(
      "bench -m demo --prefill 64 --depths 0,257 --ratios 0,0.5,0.9 --presses no_press,knorm --decode-tokens 2 "
      "--repeats 1 -o " +
      file);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("attend  at    257 tokens  ratio 0.50"));
  EXPECT_THAT(ended.out, HasSubstr("ragged"));
  const Json json = Json::parse(test::content_of(file));
  EXPECT_EQ(json["prefill"].size(), 2u);
  EXPECT_EQ(json["decode"].size(), 1u + 3u);
  // The full cache in even heads, in ragged ones, and both for each ratio.
  const Json& attention = json["attention"];
  ASSERT_EQ(attention.size(), 6u);
  const double full = attention[0]["sec"];
  for (const Json& it : attention) {
    const double kept = it["compression_ratio"] == 0.0 ? 257 : it["compression_ratio"] == 0.5 ? 128 : 25;
    // Ragged heads hold as much in all.
    EXPECT_DOUBLE_EQ(it["cache_tokens"].get<double>(), kept);
    EXPECT_NEAR(it["ideal_sec"].get<double>(), full * kept / 257, 1e-12);
    EXPECT_NEAR(it["of_ideal"].get<double>(), it["sec"].get<double>() / it["ideal_sec"].get<double>(), 1e-9);
  }
}

TEST(Bench, AttentionCanBeLeftOut) {
  const Ended ended = run_program(
      "bench -m demo --prefill 16 --depths 32 --ratios 0 --presses no_press --decode-tokens 1 --repeats 1 --attention "
      "false");
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, testing::Not(HasSubstr("attend")));
}

}  // namespace
}  // namespace kvpress
