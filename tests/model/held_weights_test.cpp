// Weights held in 8 and 4 bits, and as a GGUF has them, against the same weights in float32.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "engine/random_model.h"
#include "engine/shapes.h"
#include "formats/gguf_builder.h"
#include "formats/quants.h"
#include "kvpress/model/model.h"
#include "ops/isa.h"
#include "temporary_folder.h"
#include "test_data.h"

namespace kvpress {
namespace {

constexpr std::int64_t kVocab = 48;

struct DrawnTensor {
  const char* name;
  std::uint64_t in, out;
  std::uint32_t number;  // of ggml's type
  std::uint64_t block, bytes;
  std::vector<std::size_t> halves;  // where a block has float16 numbers
  float scale;
  int exponent = 0;  // what a block begins with, instead of them
};

/// A llama of one layer whose blocks are drawn, but for their float16 numbers and exponents.
std::string drawn_gguf(const std::vector<DrawnTensor>& tensors) {
  test::GgufBuilder builder;
  builder.text("general.architecture", "llama");
  for (const auto& [key, value] : {std::pair<const char*, std::uint32_t>{"block_count", 1},
                                   {"embedding_length", 256},
                                   {"attention.head_count", 4},
                                   {"attention.head_count_kv", 2},
                                   {"feed_forward_length", 512},
                                   {"context_length", 64}}) {
    builder.u32(std::string("llama.") + key, value);
  }
  builder.f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  std::mt19937 random(3);
  std::string data;
  for (const DrawnTensor& it : tensors) {
    builder.tensor(it.name, {it.in, it.out}, it.number, data.size());
    for (std::uint64_t b = 0; b < it.in * it.out / it.block; ++b) {
      std::string block;
      for (std::uint64_t i = 0; i < it.bytes; ++i) block.push_back(static_cast<char>(random()));
      for (const std::size_t at : it.halves) {
        // Minima are about half of what codes and scales come to: weights of both signs.
        const f16 half = from_float<f16>(it.scale * (0.5f + static_cast<float>(random() % 1000) / 1000) *
                                         (at == 2 && it.block == 32 ? -8.0f : 1.0f));
        std::memcpy(block.data() + at, &half, sizeof half);
      }
      if (it.exponent > 0) block[0] = static_cast<char>(it.exponent + static_cast<int>(random() % 4));
      data += block;
    }
    data.resize((data.size() + 31) / 32 * 32);
  }
  for (const char* name : {"output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"}) {
    builder.tensor(name, {256}, 0, data.size());
    for (int i = 0; i < 256; ++i) test::GgufBuilder::put(data, 1.0f);
  }
  std::string bytes = builder.build(data.size());
  std::memcpy(bytes.data() + bytes.size() - data.size(), data.data(), data.size());
  return bytes;
}

/// Ten quantized types: the three parts of the first product differ in theirs. Weights are about 0.05.
std::string mixed_gguf() {
  return drawn_gguf({{"token_embd.weight", 256, kVocab, 8, 32, 34, {0}, 0.01f},
                     {"output.weight", 256, kVocab, 13, 256, 176, {0, 2}, 1e-4f},
                     {"blk.0.attn_q.weight", 256, 256, 12, 256, 144, {0, 2}, 2e-4f},
                     {"blk.0.attn_k.weight", 256, 128, 3, 32, 20, {0, 2}, 0.006f},
                     {"blk.0.attn_v.weight", 256, 128, 14, 256, 210, {208}, 5e-5f},
                     {"blk.0.attn_output.weight", 256, 256, 11, 256, 110, {108}, 1e-3f},
                     {"blk.0.ffn_gate.weight", 256, 512, 2, 32, 18, {0}, 0.01f},
                     {"blk.0.ffn_up.weight", 256, 512, 7, 32, 24, {0, 2}, 0.003f},
                     {"blk.0.ffn_down.weight", 512, 256, 10, 256, 84, {80, 82}, 2e-3f}});
}

/// Types of numbers that are not evenly spaced, or of three values. `exponent` is of MXFP4's scales, times 2^128.
std::string uneven_gguf(std::uint32_t of_values, int exponent) {
  const bool is_xs = of_values == 23;
  return drawn_gguf({{"token_embd.weight", 256, kVocab, 20, 32, 18, {0}, 0.01f},
                     {"output.weight", 256, kVocab, 20, 32, 18, {0}, 0.001f},
                     {"blk.0.attn_q.weight", 256, 256, 20, 32, 18, {0}, 0.001f},
                     {"blk.0.attn_k.weight", 256, 128, 8, 32, 34, {0}, 0.001f},
                     {"blk.0.attn_v.weight",
                      256,
                      128,
                      of_values,
                      is_xs ? 256u : 32u,
                      is_xs ? 136u : 18u,
                      {0},
                      is_xs ? 1e-4f : 0.001f},
                     {"blk.0.attn_output.weight", 256, 256, 34, 256, 54, {52}, 0.05f},
                     {"blk.0.ffn_gate.weight", 256, 512, 35, 256, 66, {64}, 0.05f},
                     {"blk.0.ffn_up.weight", 256, 512, 35, 256, 66, {64}, 0.05f},
                     {"blk.0.ffn_down.weight", 512, 256, 39, 32, 17, {}, 0, exponent}});
}

/// Final states of 16 tokens, in one pass or token by token, and their logits.
std::vector<float> logits_of(Model& model, bool one_by_one) {
  constexpr std::int64_t n = 16;
  std::vector<std::int32_t> tokens;
  for (std::int32_t i = 0; i < n; ++i) tokens.push_back(i * 7 % static_cast<std::int32_t>(model.config().vocab_size));
  const std::int64_t cols = model.config().hidden_size;
  AlignedVector<float> hidden(static_cast<std::size_t>(n * cols));
  KVCache cache = model.make_cache(DType::f32);
  const std::int64_t step = one_by_one ? 1 : n;
  const std::int64_t vocab = model.config().vocab_size;
  AlignedVector<float> logits(static_cast<std::size_t>(n * vocab));
  for (std::int64_t at = 0; at < n; at += step) {
    const Matrix<float> rows(hidden.data() + at * cols, step, cols);
    model.forward({std::span(tokens).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(step)), at, cache,
                   nullptr, rows});
    model.logits(rows, {logits.data() + at * vocab, step, vocab});
  }
  return {logits.begin(), logits.end()};
}

/// sqrt(sum (a - b)^2 / sum b^2)
double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(double{a[i]} - b[i], 2);
    size += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(difference / size);
}

/// One pass multiplies decoded weights: what differs from float32 is that the K types' scales are rounded to float16.
/// Token by token the inputs have 8 bits as well, half a step of which is 0.4 % of the largest of 32.
TEST(HeldWeights, AsTheFileHasThem) {
  const test::TemporaryFolder folder;
  const auto path = folder.file("mixed.gguf", mixed_gguf());
  const auto files = std::make_shared<ModelFiles>(open_model_files(path.string()));
  Model exact(files, {false, DType::f32, HeldWeights::as_float});
  Model held(files, {false, DType::f32, HeldWeights::as_file});
  const auto expected = logits_of(exact, false);
  EXPECT_LT(relative_distance(logits_of(exact, true), expected), 1e-5);
  EXPECT_LT(relative_distance(logits_of(held, false), expected), 1e-3);
  EXPECT_LT(relative_distance(logits_of(held, true), expected), 0.02);
  EXPECT_NE(logits_of(held, true), expected);  // the codes are really multiplied

  // 8 bits and a min for each 16 inputs is the widest that is held, for the first product's mixture.
  EXPECT_LT(held.weight_bytes(), exact.weight_bytes() * 10 / 32);
  const double planned =
      held_weight_bytes(held.config(), {DType::f32, DType::f32, HeldWeights::as_file}, files->tensors.get());
  EXPECT_NEAR(planned / static_cast<double>(held.weight_bytes()), 1, 0.25);
  EXPECT_EQ(held.numbers(), "float32, weights as in the file");
}

/// Codes are held, and scales in float16 are those of the file: one pass multiplies the very weights, but for IQ4_XS,
/// whose scales are products as those of the K types.
TEST(HeldWeights, UnevenNumbersAreHeldAsTheyAre) {
  const test::TemporaryFolder folder;
  for (const bool is_xs : {false, true}) {
    const auto path = folder.file("uneven.gguf", uneven_gguf(is_xs ? 23 : 20, 120));
    const auto files = std::make_shared<ModelFiles>(open_model_files(path.string()));
    Model exact(files, {false, DType::f32, HeldWeights::as_float});
    Model held(files, {false, DType::f32, HeldWeights::as_file});
    const auto expected = logits_of(exact, false);
    EXPECT_LT(relative_distance(logits_of(held, false), expected), is_xs ? 1e-3 : 2e-6);
    EXPECT_LT(relative_distance(logits_of(held, true), expected), 0.02);
    EXPECT_NE(logits_of(held, true), expected);
    EXPECT_LT(held.weight_bytes(), exact.weight_bytes() * 10 / 32);
  }
}

/// The same of MXFP4 in safetensors, where codes and scales are tensors of their own.
TEST(HeldWeights, Mxfp4OfSafetensorsIsHeldAsItIs) {
  const auto path = test::data_dir() / "models" / "gpt-oss-mxfp4";
  const auto files = std::make_shared<ModelFiles>(open_model_files(path.string()));
  ASSERT_TRUE(has_quantized(*files->tensors));
  Model exact(files, {false, DType::f32, HeldWeights::as_float});
  Model held(files, {false, DType::f32, HeldWeights::as_file});
  const auto expected = logits_of(exact, false);
  EXPECT_LT(relative_distance(logits_of(held, false), expected), 2e-6);
  EXPECT_LT(relative_distance(logits_of(held, true), expected),
            0.05);  // inputs of 8 bits choose other experts at times
  EXPECT_NE(logits_of(held, true), expected);
  for (const auto& [model, form] : {std::pair(&exact, HeldWeights::as_float), {&held, HeldWeights::as_file}}) {
    const double planned = held_weight_bytes(held.config(), {DType::f32, DType::f32, form}, files->tensors.get());
    EXPECT_NEAR(planned / static_cast<double>(model->weight_bytes()), 1, 0.25);
  }
  EXPECT_FALSE(has_quantized(*open_model_files((test::data_dir() / "models" / "gpt-oss").string()).tensors));
}

/// A scale that float16 does not hold is not rounded: those weights are held as numbers.
TEST(HeldWeights, ScalesBeyondFloat16AreNotRounded) {
  const test::TemporaryFolder folder;
  std::vector<std::size_t> bytes;
  for (const int exponent : {100, 120}) {
    const auto path = folder.file("uneven.gguf", uneven_gguf(20, exponent));
    const auto files = std::make_shared<ModelFiles>(open_model_files(path.string()));
    Model exact(files, {false, DType::f32, HeldWeights::as_float});
    Model held(files, {false, DType::f32, HeldWeights::as_file});
    EXPECT_LT(relative_distance(logits_of(held, false), logits_of(exact, false)), 2e-6);
    bytes.push_back(held.weight_bytes());
  }
  EXPECT_GT(bytes[0], bytes[1] + 512 * 256 * 2);
}

TEST(HeldWeights, QuantizedAtLoad) {
  for (const char* name : {"llama-gqa", "neox-parallel"}) {
    const auto files = std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / name).string()));
    Model exact(files, {false, DType::f32, HeldWeights::as_float});
    Model as_file(files, {false, DType::f32, HeldWeights::as_file});
    Model int8(files, {false, DType::f32, HeldWeights::as_int8});
    Model int4(files, {false, DType::f32, HeldWeights::as_int4});
    const auto expected = logits_of(exact, false);
    EXPECT_EQ(logits_of(as_file, false), expected) << name;  // nothing is quantized there
    // Half a step is 0.4 % (8 bits) and 3 % (4 bits) of a block's range, and random layers make differences grow.
    for (const bool one_by_one : {false, true}) {
      EXPECT_LT(relative_distance(logits_of(int8, one_by_one), expected), 0.05) << name;
      EXPECT_LT(relative_distance(logits_of(int4, one_by_one), expected), 0.4) << name;
      EXPECT_GT(relative_distance(logits_of(int4, one_by_one), expected), 0.005) << name;
    }
    EXPECT_LT(int8.weight_bytes(), exact.weight_bytes()) << name;
    EXPECT_LT(int4.weight_bytes(), int8.weight_bytes()) << name;
  }
}

/// bfloat16 where the processor multiplies it: one pass sees the very weights of a model held as bfloat16.
TEST(HeldWeights, DecodedToBfloat16) {
  if (!has_fast_bfloat16()) GTEST_SKIP() << "needs AVX-512 BF16";
  const test::TemporaryFolder folder;
  const auto path = folder.file("mixed.gguf", mixed_gguf());
  const auto files = std::make_shared<ModelFiles>(open_model_files(path.string()));
  Model exact(files, {false, DType::bf16, HeldWeights::as_float});
  Model held(files, {false, DType::bf16, HeldWeights::as_file});
  EXPECT_LT(relative_distance(logits_of(held, false), logits_of(exact, false)), 0.01);
  EXPECT_LT(relative_distance(logits_of(held, true), logits_of(exact, true)), 0.03);
}

/// A llama of one layer, all of whose products' weights are stored in one type of two bytes.
std::string half_gguf(std::uint32_t ggml_type) {
  test::GgufBuilder builder;
  builder.text("general.architecture", "llama");
  for (const auto& [key, value] : {std::pair<const char*, std::uint32_t>{"block_count", 1},
                                   {"embedding_length", 64},
                                   {"attention.head_count", 4},
                                   {"attention.head_count_kv", 2},
                                   {"feed_forward_length", 96},
                                   {"context_length", 64}}) {
    builder.u32(std::string("llama.") + key, value);
  }
  builder.f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  struct Tensor {
    const char* name;
    std::uint64_t in, out;
  };
  std::mt19937 random(4);
  std::string data;
  for (const Tensor& it : {Tensor{"token_embd.weight", 64, kVocab},
                           {"output.weight", 64, kVocab},
                           {"blk.0.attn_q.weight", 64, 64},
                           {"blk.0.attn_k.weight", 64, 32},
                           {"blk.0.attn_v.weight", 64, 32},
                           {"blk.0.attn_output.weight", 64, 64},
                           {"blk.0.ffn_gate.weight", 64, 96},
                           {"blk.0.ffn_up.weight", 64, 96},
                           {"blk.0.ffn_down.weight", 96, 64}}) {
    builder.tensor(it.name, {it.in, it.out}, ggml_type, data.size());
    for (std::uint64_t i = 0; i < it.in * it.out; ++i) {
      const float value = (static_cast<float>(random() % 2001) - 1000) / 4000;
      const std::uint16_t bits = ggml_type == 1 ? from_float<f16>(value).bits : from_float<bf16>(value).bits;
      test::GgufBuilder::put(data, bits);
    }
  }
  for (const char* name : {"output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"}) {
    builder.tensor(name, {64}, 0, data.size());
    for (int i = 0; i < 64; ++i) test::GgufBuilder::put(data, 1.0f);
  }
  std::string bytes = builder.build(data.size());
  std::memcpy(bytes.data() + bytes.size() - data.size(), data.data(), data.size());
  return bytes;
}

/// Computing in float32, weights that a file has in two bytes stay in two bytes, and nothing is lost: one pass, which
/// decodes them, and token by token, which does not, agree as float32 does.
TEST(HeldWeights, InTwoBytesWhereTheFileHasThemSo) {
  for (const std::uint32_t ggml_type : {1u, 30u}) {  // F16, BF16
    const test::TemporaryFolder folder;
    const auto path = folder.file("half.gguf", half_gguf(ggml_type));
    const auto files = std::make_shared<ModelFiles>(open_model_files(path.string()));
    Model model(files, {false, DType::f32, HeldWeights::as_float});
    const auto at_once = logits_of(model, false);
    EXPECT_LT(relative_distance(logits_of(model, true), at_once), 1e-5);
    EXPECT_EQ(model.numbers(), "float32");
    const ModelConfig& config = model.config();
    const auto n = static_cast<double>(config.n_parameters());
    EXPECT_NEAR(static_cast<double>(model.weight_bytes()) / n, 2, 0.3);  // panels are filled up
    const double planned =
        held_weight_bytes(config, {DType::f32, DType::f32, HeldWeights::as_float}, files->tensors.get());
    EXPECT_NEAR(planned / n, 2, 0.1);

    // The very numbers: a model that rounds what is rounded already.
    const DType type = ggml_type == 1 ? DType::f16 : DType::bf16;
    if (type == DType::bf16 && has_fast_bfloat16()) continue;  // computes in bfloat16
    Model rounds(files, {false, type, HeldWeights::as_float});
    EXPECT_EQ(logits_of(rounds, false), at_once);
    EXPECT_EQ(rounds.weight_bytes(), model.weight_bytes());
  }
}

TEST(HeldWeights, RandomModels) {
  ModelConfig config = named_shape("pythia-70m");
  config.set_layers(1, config.layer(0));
  config.vocab_size = 64;
  Model exact = random_model(config, {false, DType::f32, HeldWeights::as_float}, 1);
  Model int8 = random_model(config, {false, DType::f32, HeldWeights::as_int8}, 1);
  EXPECT_LT(relative_distance(logits_of(int8, true), logits_of(exact, true)), 0.02);
}

TEST(HeldWeights, Names) {
  EXPECT_EQ(parse_held_weights("file", "--weights"), HeldWeights::as_file);
  EXPECT_ANY_THROW(parse_held_weights("int5", "--weights"));
}

}  // namespace
}  // namespace kvpress
