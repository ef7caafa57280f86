#include "base/closest.h"

#include <gtest/gtest.h>

#include <vector>

namespace kvpress {
namespace {

TEST(DidYouMean, NamesTheClosest) {
  const std::vector<std::string> known = {"knorm", "snapkv", "streaming_llm", "--compression-ratio", "tova"};
  const auto meant = [&](const char* name) { return did_you_mean(name, known); };
  EXPECT_EQ(meant("knrom"), " (did you mean 'knorm'?)");
  EXPECT_EQ(meant("SnapKV"), " (did you mean 'snapkv'?)");
  EXPECT_EQ(meant("snap_kv"), " (did you mean 'snapkv'?)");
  EXPECT_EQ(meant("streaming-lm"), " (did you mean 'streaming_llm'?)");
  EXPECT_EQ(meant("--compresion-ratio"), " (did you mean '--compression-ratio'?)");
  EXPECT_EQ(meant("toav"), " (did you mean 'tova'?)");
  EXPECT_EQ(meant("something else"), "");
  EXPECT_EQ(meant("x"), "");
  EXPECT_EQ(meant(""), "");
  EXPECT_EQ(did_you_mean(std::string(1000000, 'a'), known), "");
  EXPECT_EQ(did_you_mean("knorm", {}), "");
  EXPECT_EQ(is_not_known("knrom", known),
            "'knrom' is not known (did you mean 'knorm'?); known: knorm, snapkv, streaming_llm, --compression-ratio, "
            "tova");
}

}  // namespace
}  // namespace kvpress
