// Checkpoints whose names differ from those of a model saved with its head, and buffers that they carry along.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/file.h"
#include "formats/mutations.h"
#include "kvpress/model/model.h"
#include "test_data.h"

namespace kvpress {
namespace {

using test::error_of;
using ::testing::HasSubstr;

using Rename = std::function<std::string(const std::string&)>;

/// The logits of a test model whose tensors have other names, and more tensors.
std::vector<float> logits(const std::string& name, const Rename& rename, const std::vector<NamedTensor>& more = {}) {
  const test::TemporaryFolder folder;
  const auto source = test::data_dir() / "models" / name;
  folder.file("config.json", read_file(source / "config.json"));
  std::vector<NamedTensor> tensors = more;
  const auto file = open_safetensors(source);
  for (const TensorInfo& it : file->tensors()) {
    NamedTensor tensor{rename(it.name), it.shape, std::vector<float>(static_cast<std::size_t>(it.n_elements()))};
    decode_to_f32(it, 0, tensor.values);
    tensors.push_back(std::move(tensor));
  }
  write_safetensors(folder.path() / "model.safetensors", tensors);
  const auto files = std::make_shared<ModelFiles>(open_model_files(folder.path().string()));
  const Model model(files, {false, DType::f32});
  KVCache cache = model.make_cache(DType::f32);
  const std::vector<std::int32_t> tokens{1, 5, 9, 2};
  std::vector<float> hidden(static_cast<std::size_t>(model.config().hidden_size));
  model.forward({tokens, 0, cache, nullptr, {hidden.data(), 1, model.config().hidden_size}});
  std::vector<float> out(static_cast<std::size_t>(model.config().vocab_size));
  model.logits({hidden.data(), 1, model.config().hidden_size}, {out.data(), 1, model.config().vocab_size});
  return out;
}

std::string without(const std::string& name, const std::string& prefix) {
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

std::string same(const std::string& name) { return name; }

TEST(WeightNames, ThePrefixOfTheModelMayBeMissing) {
  const auto expected = logits("llama-gqa", same);
  EXPECT_EQ(logits("llama-gqa", [](const std::string& name) { return without(name, "model."); }), expected);
  EXPECT_EQ(logits("neox-parallel", [](const std::string& name) { return without(name, "gpt_neox."); }),
            logits("neox-parallel", same));
  EXPECT_THAT(error_of([] {
                logits("llama-gqa",
                       [](const std::string& name) { return name == "model.norm.weight" ? "norm.weight" : name; });
              }),
              HasSubstr("tensor model.norm.weight is missing"));
}

TEST(WeightNames, ACompiledModelsAreFound) {
  const auto expected = logits("llama-gqa", same);
  EXPECT_EQ(logits("llama-gqa", [](const std::string& name) { return "_orig_mod." + name; }), expected);
  EXPECT_EQ(logits("llama-gqa", [](const std::string& name) { return "_orig_mod." + without(name, "model."); }),
            expected);
  EXPECT_EQ(logits("llama-gqa",
                   [](const std::string& name) {
                     return name.starts_with("model.") ? "model._orig_mod." + without(name, "model.") : name;
                   }),
            expected);
  EXPECT_THAT(error_of([] {
                logits("llama-gqa", same, {{"_orig_mod.model.norm.weight", {1}, {0}}});
              }),
              HasSubstr("are the same one"));
}

TEST(WeightNames, BuffersAreLeftAlone) {
  EXPECT_EQ(
      logits("llama-gqa", same,
             {{"model.rotary_emb.inv_freq", {1}, {0}}, {"model.layers.0.self_attn.rotary_emb.inv_freq", {1}, {0}}}),
      logits("llama-gqa", same));
  EXPECT_EQ(logits("llama-gqa", [](const std::string& name) { return without(name, "model."); },
                   {{"rotary_emb.inv_freq", {1}, {0}}}),
            logits("llama-gqa", same));
  EXPECT_EQ(logits("neox-parallel", same,
                   {{"gpt_neox.layers.0.attention.masked_bias", {1}, {0}},
                    {"gpt_neox.layers.0.attention.bias", {1, 1, 2, 2}, {1, 0, 1, 1}},
                    {"gpt_neox.rotary_emb.inv_freq", {1}, {0}}}),
            logits("neox-parallel", same));
  EXPECT_THAT(error_of([] {
                logits("llama-gqa", same, {{"model.layers.0.mlp.up_proj.weight_scale_inv", {1}, {1}}});
              }),
              HasSubstr("weight_scale_inv is not part of this architecture"));
}

}  // namespace
}  // namespace kvpress
