// Scores and kept tokens of every press against kvpress 0.5.5 (Llama) and the same formulas over transformers
// (GPT-NeoX), on one prefill of small random models in float32.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kvpress/model/model.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/registry.h"
#include "reference_presses.h"
#include "test_data.h"

namespace kvpress {
namespace {

const std::vector<std::pair<double, std::string>> kRatios = {
    {0.25, "0.25"}, {0.5, "0.50"}, {0.75, "0.75"}, {0.9, "0.90"}};

class PressParity : public testing::TestWithParam<std::string> {};

TEST_P(PressParity, ScoresAndKeptTokensEqualTheReference) {
  const test::References reference("presses/" + GetParam() + ".safetensors");
  const test::References forward("forward/" + GetParam() + ".safetensors");
  Model model(std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / GetParam()).string())),
              {false, DType::f32});
  const auto tokens = forward.ints("tokens");
  int compared = 0;
  for (const auto& [name, press] : test::kReferencePresses) {
    for (const auto& [ratio, ratio_text] : kRatios) {
      const std::string layer_name = name + "/layer";  // clang 14 captures no structured bindings
      const std::string kept_name = name + "/r" + ratio_text + "/layer";
      const NamedPress named = parse_press(press);
      Compressor compressor(named.plan({ratio, {}}));
      const auto compare_scores = [&](std::int64_t layer, const Scores& scores) {
        const std::string key = layer_name + std::to_string(layer) + "/scores";
        if (!reference.has(key)) return;
        const auto expected = reference.floats(key);
        float largest = 0;
        for (const float value : expected) largest = std::max(largest, std::abs(value));
        ASSERT_EQ(expected.size(), scores.size() * scores[0].size()) << key;
        for (std::size_t i = 0; i < expected.size(); ++i) {
          ASSERT_NEAR(scores[i / scores[0].size()][i % scores[0].size()], expected[i], 1e-5f * largest)
              << key << " " << i;
        }
        ++compared;
      };
      const auto compare_kept = [&](std::int64_t layer, const Kept& kept) {
        const std::string key = kept_name + std::to_string(layer) + "/kept";
        if (!reference.has(key)) return;
        std::vector<std::int32_t> ours;
        for (const auto& row : kept) ours.insert(ours.end(), row.begin(), row.end());
        EXPECT_EQ(ours, reference.ints(key)) << key;
        ++compared;
      };
      compressor.set_watcher({compare_scores, compare_kept});
      KVCache cache = compressor.make_cache(model, DType::f32);
      compressor.forward(model, tokens, cache, {});
    }
  }
  EXPECT_GT(compared, 12 * 3 * 4);
}

INSTANTIATE_TEST_SUITE_P(Models, PressParity, testing::Values("llama-gqa", "neox-parallel"),
                         [](const auto& test) { return test.param == "llama-gqa" ? "LlamaGqa" : "NeoxParallel"; });

}  // namespace
}  // namespace kvpress
