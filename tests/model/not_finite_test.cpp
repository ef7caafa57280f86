// Numbers that are NaN, infinite or too large for their format end a pass, and the error says where.
#include "kvpress/model/not_finite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "altered_model.h"
#include "kvpress/model/model.h"

namespace kvpress {
namespace {

using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;

using Change = std::function<void(const std::string& name, std::vector<float>& values)>;

Model model_with(const TemporaryFolder& folder, const Change& change, const DTypeChoice& dtype) {
  const auto path = test::altered_model(folder, test::data_dir() / "models" / "llama-gqa", change);
  return Model(std::make_shared<ModelFiles>(open_model_files(path.string())), dtype);
}

/// What a pass over tokens 3, 4, 5, 6 says.
std::string complaint(const Model& model, const CacheFormat& format) {
  const std::vector<std::int32_t> tokens = {3, 4, 5, 6};
  KVCache cache = model.make_cache(format);
  std::vector<float> hidden(static_cast<std::size_t>(model.config().hidden_size));
  try {
    model.forward({tokens, 10, cache, nullptr, {hidden.data(), 1, model.config().hidden_size}});
  } catch (const NotFinite& error) {
    EXPECT_EQ(cache.mean_tokens(), 0);
    return error.what();
  }
  return "";
}

Change only(const std::string& tensor, const std::function<void(std::vector<float>&)>& change) {
  return [=](const std::string& name, std::vector<float>& values) {
    if (name == tensor) change(values);
  };
}

TEST(NotFinite, AWeightThatFloat16DoesNotHold) {
  const auto change = only("model.layers.1.mlp.down_proj.weight", [](std::vector<float>& values) { values[3] = 1e5f; });
  const TemporaryFolder folder;
  EXPECT_EQ(complaint(model_with(folder, change, {false, DType::f32}), DType::f32), "");
  EXPECT_THAT(complaint(model_with(folder, change, {false, DType::f16}), DType::f32),
              AllOf(HasSubstr("token 10 (id 3): layer 1 "), HasSubstr("dtype float32 or bfloat16")));
}

TEST(NotFinite, ATokenOfItsOwn) {
  const auto change = [](const std::string& name, std::vector<float>& values) {
    if (name != "model.embed_tokens.weight") return;
    const std::size_t hidden = values.size() / 192;  // of 192 tokens
    values[5 * hidden + 1] = std::numeric_limits<float>::quiet_NaN();
  };
  const TemporaryFolder folder;
  EXPECT_THAT(complaint(model_with(folder, change, {false, DType::f32}), DType::f32),
              AllOf(HasSubstr("token 12 (id 5)"), HasSubstr("damaged")));
}

/// Products of quantized rows make integers of NaN: it is found before they are asked.
TEST(NotFinite, IsSeenWhereProductsAreQuantized) {
  // The gate times the rest is then above what a float32 holds: an input of the last product, which makes integers of
  // it.
  const auto large_norm = only("model.layers.0.post_attention_layernorm.weight", [](std::vector<float>& values) {
    for (float& it : values) it = 1e30f;
  });
  for (const HeldWeights held : {HeldWeights::as_int8, HeldWeights::as_int4}) {
    const TemporaryFolder folder;
    EXPECT_THAT(complaint(model_with(folder, large_norm, {false, DType::f32, held}), DType::f32),
                HasSubstr("token 10 (id 3): "));
  }
}

TEST(NotFinite, AKeyThatTheCacheDoesNotHold) {
  const auto change = only("model.layers.1.self_attn.k_proj.weight", [](std::vector<float>& values) {
    for (float& it : values) it *= 1e7f;
  });
  const TemporaryFolder folder;
  const Model model = model_with(folder, change, {false, DType::f32});
  EXPECT_EQ(complaint(model, DType::f32), "");
  EXPECT_EQ(complaint(model, DType::bf16), "");
  EXPECT_THAT(complaint(model, DType::f16),
              AllOf(HasSubstr("token 10 (id 3)"), HasSubstr("layer 1"), HasSubstr("cache_dtype float32 or bfloat16")));
  EXPECT_THAT(complaint(model, CacheFormat(DType::f32, 8)), HasSubstr("a cache in int8"));
}

TEST(NotFinite, SaysTextAndTokenToReaders) {
  const NotFinite error(7, 42, "nothing is right", "sleep");
  EXPECT_STREQ(error.what(), "token 7 (id 42): nothing is right; sleep");
  const NotFinite located = error.in("book.txt", " k\n", 100);
  EXPECT_STREQ(located.what(), "book.txt, token 107 (' k '): nothing is right; sleep");
  EXPECT_EQ(located.position(), 107);
  EXPECT_STREQ(error.in("", "").what(), "token 7 (id 42): nothing is right; sleep");
}

}  // namespace
}  // namespace kvpress
