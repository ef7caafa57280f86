// Each architecture's configuration in its older form, the parts of models that also see pictures, published sizes, and
// files that contradict themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <functional>

#include "base/file.h"
#include "engine/shapes.h"
#include "formats/mutations.h"
#include "kvpress/model/model.h"
#include "test_data.h"

namespace kvpress {
namespace {

using nlohmann::json;
using test::error_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

ModelConfig config_in(const json& text) {
  const test::TemporaryFolder folder;
  ModelFiles files;
  files.path = folder.path();
  files.config_json = folder.file("config.json", text.dump());
  return read_config(files);
}

json config_of(const std::string& model, const std::string& file = "config.json") {
  return json::parse(read_file(test::data_dir() / "models" / model / file));
}

json with(json config, const json& changes) {
  config.update(changes);
  return config;
}

std::vector<std::string> small_models() {
  return {"gemma2", "gemma3", "gpt2", "gpt-oss", "gpt-oss-mxfp4", "ministral", "ministral3", "mixtral",
          "olmo2",  "opt",    "phi3", "qwen2",   "qwen3",         "qwen3-moe", "smollm3"};
}

TEST(Architectures, PublishedConfigurationsSayTheSame) {
  for (const std::string& name : small_models()) {
    SCOPED_TRACE(name);
    const ModelConfig now = config_in(config_of(name));
    const ModelConfig before = config_in(config_of(name, "config.published.json"));
    EXPECT_EQ(now.layers, before.layers);
    EXPECT_EQ(now.n_parameters(), before.n_parameters());
    EXPECT_EQ(now.embedding_scale, before.embedding_scale);
    EXPECT_EQ(now.logit_soft_cap, before.logit_soft_cap);
    EXPECT_EQ(now.tied_output, before.tied_output);
    EXPECT_EQ(now.experts.n_used, before.experts.n_used);
    EXPECT_EQ(now.experts.normalized, before.experts.normalized);
  }
}

/// The parameters that their authors publish.
TEST(Architectures, ShapesHaveTheirPublishedSizes) {
  EXPECT_EQ(named_shape("pythia-70m").n_parameters(), 70426624);
  EXPECT_EQ(named_shape("smollm2-135m").n_parameters(), 134515008);
  EXPECT_EQ(named_shape("llama3-8b").n_parameters(), 8030261248);
  EXPECT_EQ(named_shape("qwen3-0.6b").n_parameters(), 596049920);
  EXPECT_EQ(named_shape("gemma3-270m").n_parameters(), 268098176);
  EXPECT_EQ(named_shape("qwen3-30b-a3b").n_parameters(), 30532122624);
  EXPECT_EQ(named_shape("gpt-oss-20b").n_parameters(), 20914757184);
  for (const std::string_view name : shape_names()) {
    check_supported(named_shape(std::string(name)), std::string(name));
  }
}

/// The last hidden state of a model whose tensors have other names.
std::vector<float> last_state(const json& config, const std::string& tensors_of,
                              const std::function<std::string(const std::string&)>& rename,
                              const std::vector<NamedTensor>& more = {}) {
  const test::TemporaryFolder folder;
  folder.file("config.json", config.dump());
  std::vector<NamedTensor> tensors = more;
  const auto file = open_safetensors(test::data_dir() / "models" / tensors_of);
  for (const TensorInfo& it : file->tensors()) {
    const std::string name = rename(it.name);
    if (name.empty()) continue;
    NamedTensor tensor{name, it.shape, std::vector<float>(static_cast<std::size_t>(it.n_elements()))};
    decode_to_f32(it, 0, tensor.values);
    tensors.push_back(std::move(tensor));
  }
  write_safetensors(folder.path() / "model.safetensors", tensors);
  const Model model(std::make_shared<ModelFiles>(open_model_files(folder.path().string())), {false, DType::f32});
  KVCache cache = model.make_cache(DType::f32);
  const std::vector<std::int32_t> tokens{1, 5, 9, 2};
  std::vector<float> hidden(static_cast<std::size_t>(model.config().hidden_size));
  model.forward({tokens, 0, cache, nullptr, {hidden.data(), 1, model.config().hidden_size}});
  return hidden;
}

std::string same(const std::string& name) { return name; }

TEST(Architectures, OfModelsThatSeePicturesTheTextPartIsRead) {
  const json gemma = config_of("gemma3");
  const auto expected = last_state(gemma, "gemma3", same);
  const json whole = {{"model_type", "gemma3"},   {"text_config", gemma},     {"vision_config", {{"hidden_size", 8}}},
                      {"mm_tokens_per_image", 4}, {"image_token_index", 100}, {"architectures", {"x"}}};
  const std::vector<NamedTensor> pictures = {{"vision_tower.patch.weight", {2}, {1, 2}},
                                             {"model.multi_modal_projector.weight", {2}, {1, 2}}};
  EXPECT_EQ(last_state(
                whole, "gemma3", [](const std::string& name) { return "language_model." + name; }, pictures),
            expected);
  const auto newer = [](const std::string& name) {
    return name.starts_with("model.") ? "model.language_model." + name.substr(6) : name;
  };
  EXPECT_EQ(last_state(whole, "gemma3", newer, pictures), expected);
  const json mistral = config_of("mistral-window");
  EXPECT_EQ(last_state(
                {{"model_type", "mistral3"}, {"text_config", mistral}, {"vision_config", json::object()}},
                "mistral-window", [](const std::string& name) { return "language_model." + name; }, pictures),
            last_state(mistral, "mistral-window", same));
  const json ministral = config_of("ministral3");
  EXPECT_EQ(last_state({{"model_type", "mistral3"}, {"text_config", ministral}, {"vision_config", json::object()}},
                       "ministral3", newer, pictures),
            last_state(ministral, "ministral3", same));
  EXPECT_THAT(error_of([&] {
                config_in({{"model_type", "gemma3"}, {"vision_config", json::object()}});
              }),
              HasSubstr("'text_config' is missing"));
  EXPECT_THAT(error_of([&] {
                config_in(with(whole, {{"text_config", with(gemma, {{"strange", 1}})}}));
              }),
              HasSubstr("'text_config.strange' is not known here"));
}

/// Experts of transformers 5 in one tensor each are those of files that hold them one by one.
TEST(Architectures, ExpertsMayBeStacked) {
  const json config = config_of("qwen3-moe");
  const auto file = open_safetensors(test::data_dir() / "models" / "qwen3-moe");
  std::vector<NamedTensor> stacked;
  for (const int layer : {0, 1}) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".mlp.experts.";
    NamedTensor in{prefix + "gate_up_proj", {6, 48, 32}, {}}, out{prefix + "down_proj", {6, 32, 24}, {}};
    for (int e = 0; e < 6; ++e) {
      for (const char* name : {"gate_proj", "up_proj", "down_proj"}) {
        const TensorInfo& from = file->at(prefix + std::to_string(e) + "." + name + ".weight");
        std::vector<float> values(static_cast<std::size_t>(from.n_elements()));
        decode_to_f32(from, 0, values);
        auto& to = std::string(name) == "down_proj" ? out.values : in.values;
        to.insert(to.end(), values.begin(), values.end());
      }
    }
    stacked.push_back(in);
    stacked.push_back(out);
  }
  const auto without_single = [](const std::string& name) {
    return name.find(".experts.") == name.npos ? name : std::string();
  };
  EXPECT_EQ(last_state(config, "qwen3-moe", without_single, stacked), last_state(config, "qwen3-moe", same));
  stacked.front().shape = {6, 32, 48};
  EXPECT_THAT(error_of([&] { last_state(config, "qwen3-moe", without_single, stacked); }),
              HasSubstr("gate_up_proj has shape [6, 32, 48], the configuration asks for [6, 48, 32]"));
}

TEST(Architectures, ConfigurationsThatContradictTheirTensorsAreRefused) {
  const auto error = [](const std::string& model, const json& changes,
                        const std::function<std::string(const std::string&)>& rename = same) {
    return error_of([&] { last_state(with(config_of(model), changes), model, rename); });
  };
  EXPECT_THAT(error("mixtral", {{"num_local_experts", 5}}),
              AllOf(HasSubstr("block_sparse_moe.gate.weight has shape [4, 32]"), HasSubstr("[5, 32]")));
  EXPECT_THAT(error("mixtral", {{"num_local_experts", 3}, {"num_experts_per_tok", 4}}), HasSubstr("experts"));
  EXPECT_THAT(error("mixtral", {{"num_experts_per_tok", 0}}), HasSubstr("'num_experts_per_tok' is 0"));
  EXPECT_THAT(error("mixtral", json::object(),
                    [](const std::string& name) { return name.ends_with("moe.gate.weight") ? std::string() : name; }),
              HasSubstr("tensor model.layers.0.block_sparse_moe.gate.weight is missing"));
  EXPECT_THAT(error("gemma3", {{"sliding_window", 0}}), HasSubstr("'sliding_window' is 0"));
  EXPECT_THAT(error("gemma3", {{"sliding_window", nullptr}}), HasSubstr("but 'sliding_window' is null"));
  EXPECT_THAT(error("gemma3", {{"layer_types", {"full_attention"}}}),
              HasSubstr("'layer_types' has 1 layers, 'num_hidden_layers' is 4"));
  EXPECT_THAT(error("qwen3", {{"layer_types", {"full_attention", "linear_attention"}}}),
              HasSubstr("'layer_types' has 'linear_attention'"));
  EXPECT_THAT(error("qwen3", {{"layer_types", "full"}}), HasSubstr("must be a list of strings"));
  EXPECT_THAT(error("smollm3", {{"no_rope_layers", {1, 0}}}), HasSubstr("'no_rope_layers' has 2 layers"));
  EXPECT_THAT(error("gemma2", {{"attn_logit_softcapping", -1}}), HasSubstr("'attn_logit_softcapping' is -1"));
  EXPECT_THAT(error("gemma2", {{"query_pre_attn_scalar", 0}}), HasSubstr("it must be above 0"));
  EXPECT_THAT(error("gemma2", {{"hidden_activation", "silu"}}), HasSubstr("only gelu_pytorch_tanh gates"));
  EXPECT_THAT(error("qwen2", {{"hidden_act", "relu"}}), HasSubstr("only silu gates"));
  json rope = config_of("ministral3")["rope_parameters"];
  const auto ministral = [&](const char* key, const json& value) {
    return error("ministral3", {{"rope_parameters", with(rope, {{key, value}})}});
  };
  EXPECT_THAT(ministral("llama_4_scaling_beta", -1), HasSubstr("'rope_parameters.llama_4_scaling_beta' is -1"));
  EXPECT_THAT(ministral("llama_4_scaling_beta", nullptr), HasSubstr("llama_4_scaling_beta' is missing"));
  EXPECT_THAT(ministral("original_max_position_embeddings", nullptr),
              HasSubstr("'rope_parameters.original_max_position_embeddings' is missing"));
  EXPECT_THAT(error("mistral-window", {{"rope_parameters", rope}}),
              HasSubstr("'rope_parameters.llama_4_scaling_beta' is not known here"));
  EXPECT_THAT(error("opt", {{"do_layer_norm_before", false}}), HasSubstr("'do_layer_norm_before' is false"));
  EXPECT_THAT(error("opt", {{"max_position_embeddings", 130}}), HasSubstr("embed_positions.weight has shape"));
  EXPECT_THAT(error("gpt2", {{"scale_attn_by_inverse_layer_idx", true}}), HasSubstr("must be false"));
  EXPECT_THAT(error("phi3", {{"num_key_value_heads", 4}}), HasSubstr("qkv_proj.weight has shape"));
  EXPECT_THAT(error("gpt-oss", {{"quantization_config", {{"quant_method", "gptq"}}}}),
              HasSubstr("'quantization_config.quant_method' is \"gptq\", it must be mxfp4;"));
  EXPECT_THAT(error("gpt-oss", {{"quantization_config", {{"quant_method", "mxfp4"}, {"bits", 3}}}}),
              HasSubstr("'quantization_config.bits' is not known here"));
  EXPECT_THAT(error("qwen3", {{"quantization_config", {{"quant_method", "mxfp4"}}}}),
              HasSubstr("'quantization_config': weights quantized by \"mxfp4\" are not supported"));
  EXPECT_EQ(error("gpt-oss", {{"quantization_config", {{"quant_method", "mxfp4"}}}}), "no error");  // none is in it
}

/// The error of gpt-oss-mxfp4 with another configuration, or with other bytes.
std::string mxfp4_error(
    const json& changes, const std::function<void(std::string&)>& change = [](std::string&) {}) {
  const test::TemporaryFolder folder;
  folder.file("config.json", with(config_of("gpt-oss-mxfp4"), changes).dump());
  std::string bytes = read_file(test::data_dir() / "models" / "gpt-oss-mxfp4" / "model.safetensors");
  change(bytes);
  folder.file("model.safetensors", bytes);
  return error_of([&] { Model(std::make_shared<ModelFiles>(open_model_files(folder.path().string())), {}); });
}

TEST(Architectures, Mxfp4ThatCannotBeReadIsRefused) {
  EXPECT_EQ(mxfp4_error(json::object()), "no error");
  EXPECT_THAT(mxfp4_error({{"intermediate_size", 96}}),
              HasSubstr("tensor model.layers.0.mlp.experts.gate_up_proj_blocks has shape [4, 128, 2, 16], the "
                        "configuration asks for [4, 192, 2, 16]"));
  // Names and types in the header, of the same length.
  const auto replaced = [](const std::string& from, const std::string& to) {
    return mxfp4_error(json::object(), [&](std::string& bytes) {
      for (auto at = bytes.find(from); at != bytes.npos; at = bytes.find(from)) bytes.replace(at, from.size(), to);
    });
  };
  EXPECT_THAT(replaced("down_proj_scales", "down_proj_scalez"),
              HasSubstr("tensor model.layers.0.mlp.experts.down_proj_scales is missing"));
  EXPECT_THAT(replaced("\"dtype\":\"U8\"", "\"dtype\":\"I8\""),
              HasSubstr("_blocks is stored as I8, it must be of bytes (U8)"));
  const auto no_number = [](std::string& bytes) {
    const auto file = open_safetensors(test::data_dir() / "models" / "gpt-oss-mxfp4");
    const TensorInfo& scales = file->at("model.layers.1.mlp.experts.down_proj_scales");
    const auto& last = file->tensors().back().data;
    bytes[bytes.size() - static_cast<std::size_t>(last.data() + last.size() - scales.data.data())] = '\xff';
  };
  EXPECT_THAT(mxfp4_error(json::object(), no_number),
              HasSubstr("tensor model.layers.1.mlp.experts.down_proj_scales holds a scale of 255"));
}

TEST(Architectures, LearnedPositionsEnd) {
  const Model model(std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / "opt").string())),
                    {false, DType::f32});
  KVCache cache = model.make_cache(DType::f32);
  const std::vector<std::int32_t> tokens(129, 3);
  EXPECT_THAT(error_of([&] {
                model.forward({tokens, 0, cache, nullptr, {}});
              }),
              HasSubstr("the text reaches 129 tokens, but the model has learned positions for 128"));
  model.forward({std::span(tokens).first(128), 0, cache, nullptr, {}});
  EXPECT_EQ(cache.head(0, 0).size(), 128);
  EXPECT_THAT(error_of([&] {
                model.forward({std::span(tokens).first(1), 128, cache, nullptr, {}});
              }),
              HasSubstr("the text reaches 129 tokens"));
}

}  // namespace
}  // namespace kvpress
