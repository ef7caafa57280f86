// Loading a model for a run of a given length.
#include "kvpress/engine/open_model.h"

#include <gtest/gtest.h>

#include <vector>

#include "test_data.h"

namespace kvpress {
namespace {

/// LongRoPE's two sets of frequencies, and the base of dynamic scaling: texts of 64 tokens are those of the original
/// context.
TEST(OpenModel, RopeGoesByTheLengthOfTheRun) {
  for (const char* name : {"llama-longrope", "llama-dynamic"}) {
    const OpenedModel opened = open_model((test::data_dir() / "models" / name).string());
    const auto turns = [&](std::int64_t n_cached) {
      const LoadedModel loaded = load_model(opened, {}, 32, n_cached);
      return loaded.model->config().layer(0).rope.inverse_frequencies;
    };
    const std::vector<float> original = opened.config.layer(0).rope.inverse_frequencies;
    EXPECT_EQ(turns(10), original) << name;
    EXPECT_EQ(turns(64), original) << name;
    EXPECT_NE(turns(65), original) << name;
  }
}

}  // namespace
}  // namespace kvpress
