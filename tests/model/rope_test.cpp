// Scalings of RoPE, as files describe them: config.json against transformers (tools/references/rope_scalings.py), GGUF
// against llama.cpp (tools/references/gguf_rope.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>

#include "formats/gguf_builder.h"
#include "formats/mutations.h"
#include "kvpress/formats/model_files.h"
#include "kvpress/model/model.h"
#include "model/config_json.h"
#include "model/gguf_rope.h"
#include "temporary_folder.h"
#include "test_data.h"

namespace kvpress {
namespace {

using nlohmann::json;
using test::GgufBuilder;
using ::testing::HasSubstr;

/// As the architecture of the config asks for it.
RopeSpec rope_of(const json& config, std::int64_t planned, const std::string& layer_type) {
  const JsonConfig from(config, "config.json", planned);
  const std::int64_t positions = from.size("max_position_embeddings");
  if (layer_type.empty()) return from.rope(32, {.max_positions = positions});
  if (layer_type == "full_attention") return from.rope(32, {.max_positions = positions, .base = 1e6}, layer_type);
  return from.rope(32, {.max_positions = positions, .base_key = "rope_local_base_freq", .scaled = false}, layer_type);
}

/// transformers computes in float32, a few operations one after the other, each rounded.
constexpr double kRounding = 4.0 / (1 << 24);

void expect_equal(double got, double expected, const std::string& what) {
  EXPECT_NEAR(got, expected, std::abs(expected) * kRounding) << what;
}

TEST(RopeScalings, EqualTransformers) {
  std::ifstream file(test::data_dir() / "rope" / "scalings.json");
  const json cases = json::parse(file)["cases"];
  ASSERT_GE(cases.size(), 25u);
  for (const json& it : cases) {
    for (const json& expected : it["ropes"]) {
      const auto planned = expected["planned"].get<std::int64_t>();
      SCOPED_TRACE(it["name"].get<std::string>() + " " + std::to_string(planned));
      const RopeSpec rope = rope_of(it["config"], planned, expected["layer_type"]);
      const auto frequencies = expected["inverse_frequencies"].get<std::vector<double>>();
      ASSERT_EQ(rope.inverse_frequencies.size(), frequencies.size());
      for (std::size_t i = 0; i < frequencies.size(); ++i) {
        expect_equal(static_cast<double>(rope.inverse_frequencies[i]), frequencies[i],
                     "frequency " + std::to_string(i));
      }
      expect_equal(static_cast<double>(rope.attention_factor), expected["attention_factor"], "attention factor");
    }
  }
}

/// Whole logits of one layer: llama.cpp sums in another order and adds up angles step by step, which takes some digits.
TEST(RopeScalings, OfGgufEqualLlamaCpp) {
  const auto folder = test::data_dir() / "rope";
  std::ifstream file(folder / "gguf.json");
  const json document = json::parse(file);
  const auto tokens = document["tokens"].get<std::vector<std::int32_t>>();
  const auto rows = document["rows"].get<std::vector<std::int64_t>>();
  ASSERT_EQ(document["runs"].size(), 7u);
  for (const json& run : document["runs"]) {
    const auto name = run["file"].get<std::string>();
    SCOPED_TRACE(name + " " + run["planned"].dump());
    const auto files = std::make_shared<ModelFiles>(open_model_files((folder / name).string()));
    const Model model(files, {false, DType::f32}, run["planned"].get<std::int64_t>());
    const std::int64_t n = std::ssize(tokens), hidden_size = model.config().hidden_size;
    AlignedVector<float> hidden(static_cast<std::size_t>(n * hidden_size));
    KVCache cache = model.make_cache(DType::f32);
    model.forward({tokens, 0, cache, nullptr, {hidden.data(), n, hidden_size}});
    const std::int64_t vocab = model.config().vocab_size;
    AlignedVector<float> logits(static_cast<std::size_t>(n * vocab));
    model.logits({hidden.data(), n, hidden_size}, {logits.data(), n, vocab});
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const auto expected = run["logits"][r].get<std::vector<float>>();
      ASSERT_EQ(std::ssize(expected), vocab);
      float largest = 0;
      for (std::int64_t i = 0; i < vocab; ++i) {
        largest = std::max(largest, std::abs(logits[rows[r] * vocab + i] - expected[i]));
      }
      EXPECT_LT(largest, 1e-3f) << "position " << rows[r];
    }
  }
}

/// gguf_rope() of a file with heads of 8 channels; its tensors hold zeros.
RopeSpec rope_of(const GgufBuilder& builder) {
  const test::TemporaryFolder folder;
  const GgufFile file(folder.file("m.gguf", builder.build(4096)));
  GgufConfig from(file, "phi3");
  return gguf_rope(from, 8, 0);
}
std::string error_of_rope(const GgufBuilder& builder) {
  return test::error_of([&] { rope_of(builder); });
}

TEST(GgufRope, PartOfTheChannelsMayTurn) {
  const auto turned = [](std::uint32_t n) { return GgufBuilder().u32("phi3.rope.dimension_count", n); };
  EXPECT_EQ(rope_of(turned(4)).inverse_frequencies, rope_frequencies(4, 10000));
  EXPECT_EQ(rope_of(turned(8)).inverse_frequencies, rope_frequencies(8, 10000));
  EXPECT_EQ(rope_of(GgufBuilder()).inverse_frequencies, rope_frequencies(8, 10000));
  for (const std::uint32_t n : {3u, 10u}) {
    EXPECT_THAT(error_of_rope(turned(n)), HasSubstr("it must be even and at most the 8 channels of a head")) << n;
  }
  EXPECT_THAT(error_of_rope(turned(0)), HasSubstr("phi3.rope.dimension_count is 0, it must be from 1"));
}

TEST(GgufRope, TensorsThatCannotBeAreRefused) {
  EXPECT_THAT(error_of_rope(GgufBuilder().tensor("rope_freqs.weight", {3}, 0, 0)),
              HasSubstr("tensor rope_freqs.weight has 3 values, 4 are needed"));
  EXPECT_THAT(error_of_rope(GgufBuilder().tensor("rope_freqs.weight", {4}, 0, 0)),
              HasSubstr("tensor rope_freqs.weight holds 0, its values must be above 0"));
  EXPECT_THAT(error_of_rope(GgufBuilder().tensor("rope_factors_long.weight", {4}, 0, 0)),
              HasSubstr("tensor rope_factors_short.weight is missing"));
  EXPECT_THAT(error_of_rope(GgufBuilder().text("phi3.rope.scaling.type", "yarn")),
              HasSubstr("phi3.rope.scaling.original_context_length is missing"));
}

}  // namespace
}  // namespace kvpress
