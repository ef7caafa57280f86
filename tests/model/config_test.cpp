// Configurations: every place where a key may stand, and what is not understood.
#include "kvpress/model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>

#include "formats/gguf_builder.h"
#include "formats/mutations.h"
#include "kvpress/base/log.h"
#include "kvpress/formats/model_files.h"
#include "kvpress/ops/rope.h"
#include "model/config_json.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

using nlohmann::json;
using test::error_of;
using test::GgufBuilder;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

json llama() {
  return {{"model_type", "llama"}, {"hidden_size", 64},      {"num_attention_heads", 4},      {"intermediate_size", 96},
          {"vocab_size", 100},     {"num_hidden_layers", 2}, {"max_position_embeddings", 512}};
}

ModelConfig read_text(const std::string& config, const std::string& generation = "") {
  const test::TemporaryFolder folder;
  ModelFiles files;
  files.path = folder.path();
  files.config_json = folder.file("config.json", config);
  if (!generation.empty()) folder.file("generation_config.json", generation);
  return read_config(files);
}
ModelConfig read(const json& config) { return read_text(config.dump()); }

json with(json config, const json& changes) {
  config.update(changes);
  return config;
}

std::string error_with(const json& changes) {
  return error_of([&] { read(with(llama(), changes)); });
}

std::vector<float> turns(const json& changes) { return read(with(llama(), changes)).layer(0).rope.inverse_frequencies; }

TEST(Config, RopeThetaStandsWhereTransformersHasIt) {
  const std::vector<float> expected = rope_frequencies(16, 500000);
  EXPECT_EQ(turns({{"rope_theta", 500000.0}}), expected);
  EXPECT_EQ(turns({{"rope_theta", 500000}}), expected);
  EXPECT_EQ(turns({{"rope_scaling", {{"rope_theta", 500000.0}, {"rope_type", "default"}}}}), expected);
  EXPECT_EQ(turns({{"rope_parameters", {{"rope_theta", 500000.0}}}}), expected);
  EXPECT_EQ(turns({{"rope_parameters", {{"rope_theta", 500000.0}}}, {"rope_scaling", nullptr}}), expected);
  EXPECT_EQ(turns({{"rope_theta", 500000.0}, {"rope_parameters", {{"rope_theta", 500000.0}}}}), expected);
  EXPECT_EQ(turns({{"rope_theta", nullptr}}), rope_frequencies(16, 10000));
  EXPECT_THAT(error_with({{"rope_theta", 10000.0}, {"rope_scaling", {{"rope_theta", 500000.0}}}}),
              HasSubstr("described twice: 'rope_theta' is 500000, but 'rope_theta' is 10000"));
}

TEST(Config, RopeScalingIsReadInEveryForm) {
  std::vector<float> quarter = rope_frequencies(16, 10000);
  for (float& it : quarter) it = static_cast<float>(it / 4.0);
  EXPECT_EQ(turns({{"rope_scaling", {{"type", "linear"}, {"factor", 4}}}}), quarter);
  EXPECT_EQ(turns({{"rope_scaling", {{"rope_type", "linear"}, {"type", "linear"}, {"factor", 4.0}}}}), quarter);
  EXPECT_EQ(turns({{"rope_parameters", {{"rope_type", "linear"}, {"factor", 4.0}}}}), quarter);
  const json llama3 = {{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 1}, {"high_freq_factor", 4}};
  std::vector<float> stretched = rope_frequencies(16, 10000);
  scale_frequencies(stretched, {8, 1, 4, 128});
  const auto original = [&](json scaling, json beside) {
    beside["rope_scaling"] = std::move(scaling);
    return turns(beside);
  };
  const json inside = with(llama3, {{"original_max_position_embeddings", 128}});
  EXPECT_EQ(original(inside, json::object()), stretched);
  EXPECT_EQ(original(llama3, {{"original_max_position_embeddings", 128}}), stretched);
  EXPECT_EQ(original(llama3, {{"max_position_embeddings", 128}}), stretched);  // transformers' default
  EXPECT_THAT(error_of([&] {
                original(inside, {{"original_max_position_embeddings", 64}});
              }),
              HasSubstr("'original_max_position_embeddings' is 128, but 'original_max_position_embeddings' is 64"));
}

TEST(Config, RopeThatCannotBeIsRefused) {
  const auto scaling = [](const json& it) { return error_with({{"rope_scaling", it}}); };
  EXPECT_THAT(scaling({{"type", "linear"}}), HasSubstr("'factor' of rotary scaling 'linear' is missing"));
  EXPECT_THAT(scaling({{"type", "linear"}, {"factor", 0}}), HasSubstr("is 0, it must be above 0"));
  EXPECT_THAT(scaling({{"type", "linear"}, {"factor", -1}}), HasSubstr("is -1, it must be above 0"));
  EXPECT_THAT(scaling({{"type", "linear"}, {"rope_type", "llama3"}}), HasSubstr("described twice"));
  EXPECT_THAT(scaling({{"factor", 4}}), HasSubstr("a 'factor' of 4, but no 'rope_type' that uses it"));
  EXPECT_THAT(scaling({{"type", "xpos"}, {"factor", 4}}), HasSubstr("rotary scaling 'xpos' is not supported; known:"));
  const auto yarn = [&](const json& changes) { return scaling(with({{"type", "yarn"}, {"factor", 4}}, changes)); };
  EXPECT_EQ(yarn(json::object()), "no error");
  EXPECT_THAT(yarn({{"factor", -4}}), HasSubstr("'factor' of rotary scaling 'yarn' is -4, it must be above 0"));
  EXPECT_THAT(yarn({{"beta_fast", -1}}), HasSubstr("'beta_fast' of rotary scaling 'yarn' is -1, it must be above 0"));
  EXPECT_THAT(yarn({{"attention_factor", 0}}), HasSubstr("'attention_factor' of rotary scaling 'yarn' is 0"));
  EXPECT_THAT(yarn({{"truncate", 1}}), HasSubstr("'rope_scaling.truncate' is 1, it must be true or false"));
  EXPECT_THAT(yarn({{"short_factor", {1, 2}}}), HasSubstr("'rope_scaling.short_factor' is not known here"));
  const std::vector<double> eight(8, 1.0);
  const auto longrope = [&](const json& changes) {
    return scaling(with({{"type", "longrope"}, {"short_factor", eight}, {"long_factor", eight}}, changes));
  };
  EXPECT_EQ(longrope(json::object()), "no error");
  EXPECT_EQ(longrope({{"type", "su"}}), "no error");  // as Phi-3 first called it
  EXPECT_THAT(longrope({{"long_factor", nullptr}}), HasSubstr("'long_factor' of rotary scaling 'longrope' is missing"));
  EXPECT_THAT(
      longrope({{"short_factor", {1, 2}}}),
      HasSubstr("'short_factor' of rotary scaling 'longrope' has 2 numbers, it must have one for each of the 8"));
  EXPECT_THAT(longrope({{"long_factor", {1, 1, 1, 0, 1, 1, 1, 1}}}), HasSubstr("is 0, it must be above 0"));
  EXPECT_THAT(longrope({{"long_factor", {1, "2"}}}), HasSubstr("it must be a list of numbers"));
  EXPECT_THAT(longrope({{"original_max_position_embeddings", 1}}), HasSubstr("it must be above 0"));
  EXPECT_THAT(scaling({{"type", "dynamic"}}), HasSubstr("'factor' of rotary scaling 'dynamic' is missing"));
  EXPECT_THAT(error_with({{"rope_scaling", {{"type", "dynamic"}, {"factor", 2}}}, {"head_dim", 2}}),
              HasSubstr("needs more than 2 rotary channels"));
  EXPECT_THAT(error_with({{"rope_scaling", {{"type", "longrope"}, {"short_factor", eight}, {"long_factor", eight}}},
                          {"rope_parameters", {{"short_factor", std::vector<double>(8, 2.0)}}}}),
              HasSubstr("described twice: 'short_factor' differs"));
  EXPECT_THAT(scaling({{"type", "linear"}, {"factor", 2}, {"mscale", 2}}),
              HasSubstr("'rope_scaling.mscale' is not known here"));
  EXPECT_THAT(scaling(7), HasSubstr("'rope_scaling' is 7, it must be an object"));
  EXPECT_THAT(error_with({{"rope_theta", "x"}}), HasSubstr("'rope_theta' is \"x\", it must be a number"));
  const std::string base = llama().dump();
  const std::string start = base.substr(0, base.size() - 1);
  EXPECT_THAT(error_of([&] { read_text(start + R"(,"rope_theta":Infinity})"); }), HasSubstr("it must be finite"));
  EXPECT_THAT(error_of([&] { read_text(start + R"(,"rms_norm_eps":NaN})"); }), HasSubstr("it must be finite"));
  EXPECT_THAT(error_with({{"rms_norm_eps", 0}}), HasSubstr("epsilon is 0, it must be above 0"));
}

/// A model of two RoPEs, as Gemma 3 has them.
TEST(Config, RopeMayDifferByTypeOfLayer) {
  const RopeDefaults full{.max_positions = 512, .base = 1e6};
  const RopeDefaults window{.max_positions = 512, .base_key = "rope_local_base_freq", .scaled = false};
  struct Turns {
    std::vector<float> full, window;
  };
  const auto turns_of = [&](const json& config) {
    const JsonConfig from(config, "config.json");
    const Turns turns{from.rope(16, full, "full_attention").inverse_frequencies,
                      from.rope(16, window, "sliding_attention").inverse_frequencies};
    from.refuse_unread();
    return turns;
  };
  std::vector<float> eighth = rope_frequencies(16, 2e6);
  for (float& it : eighth) it = static_cast<float>(it / 8.0);

  const Turns none = turns_of(json::object());
  EXPECT_EQ(none.full, rope_frequencies(16, 1e6));
  EXPECT_EQ(none.window, rope_frequencies(16, 1e4));
  const Turns older = turns_of({{"rope_theta", 2e6},
                                {"rope_local_base_freq", 5e4},
                                {"rope_scaling", {{"rope_type", "linear"}, {"factor", 8.0}}}});
  EXPECT_EQ(older.full, eighth);
  EXPECT_EQ(older.window, rope_frequencies(16, 5e4));
  const Turns newer = turns_of({{"rope_parameters",
                                 {{"full_attention", {{"rope_type", "linear"}, {"factor", 8.0}, {"rope_theta", 2e6}}},
                                  {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 5e4}}}}}});
  EXPECT_EQ(newer.full, eighth);
  EXPECT_EQ(newer.window, rope_frequencies(16, 5e4));
  EXPECT_THAT(error_of([&] {
                turns_of({{"rope_parameters", {{"full_attention", {{"rope_type", "x"}}}}}});
              }),
              HasSubstr("rotary scaling 'x' is not supported"));
  // A model whose layers are of one type.
  EXPECT_THAT(error_with({{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}}}),
              HasSubstr("'rope_parameters' differs by type of layer"));
}

TEST(Config, KeysThatAreNotUnderstoodAreNamed) {
  EXPECT_THAT(error_with({{"sliding_window_pattern", 2}}),
              EndsWith("config.json: 'sliding_window_pattern' is not known here; results without it could be wrong"));
  EXPECT_THAT(error_with({{"quantization_config", {{"quant_method", "gptq"}}}}), HasSubstr("'quantization_config'"));
  EXPECT_THAT(error_with({{"rope_interleaved", true}}), HasSubstr("'rope_interleaved' is not known here"));
  EXPECT_EQ(
      error_with({{"rope_interleaved", false}, {"sliding_window_pattern", nullptr}, {"_attn_implementation", "x"}}),
      "no error");
  const json usual = {{"architectures", {"LlamaForCausalLM"}},
                      {"torch_dtype", "bfloat16"},
                      {"dtype", "bfloat16"},
                      {"transformers_version", "5.2.0"},
                      {"use_cache", true},
                      {"pad_token_id", nullptr},
                      {"bos_token_id", 1},
                      {"attention_dropout", 0.0},
                      {"initializer_range", 0.02},
                      {"pretraining_tp", 1},
                      {"id2label", {{"0", "LABEL_0"}}},
                      {"time_limit", nullptr},
                      {"top_k", 50},
                      {"is_decoder", true},
                      {"task_specific_params", nullptr},
                      {"auto_map", json::object()}};
  EXPECT_EQ(error_with(usual), "no error");
  EXPECT_THAT(error_with({{"hidden_size", json::array({1, 2, 3})}}),
              HasSubstr("'hidden_size' is an array of 3, it must be a whole number"));
  EXPECT_THAT(error_with({{"num_key_value_heads", json::array({2, 1})}}),
              EndsWith("/config.json: 'num_key_value_heads' is an array of 2, it must be a whole number"));
  EXPECT_THAT(error_with({{"hidden_size", 1e9}}), HasSubstr("it must be a whole number"));
  EXPECT_THAT(error_with({{"hidden_size", 18446744073709551615u}}), HasSubstr("it must be between 1 and 8388608"));
  EXPECT_THAT(error_with({{"num_hidden_layers", 2147483647}}), HasSubstr("it must be between 1 and 4096"));
  EXPECT_THAT(error_with({{"num_attention_heads", 8388608}, {"head_dim", 1024}}), HasSubstr("more than the 8388608"));
  std::string deep = R"({"model_type":"llama","hidden_size":)" + std::string(150'000, '[');
  EXPECT_THAT(error_of([&] { read_text(deep); }),
              EndsWith("config.json: is nested deeper than 200 levels at \"hidden_size\""));
  EXPECT_THAT(error_of([&] { read_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n"); }),
              EndsWith("config.json: is a Git LFS pointer, not the file itself; run: git lfs pull"));
}

TEST(Config, MistralsDefaultsAreThoseOfTransformers) {
  const auto mistral = [](const json& changes) {
    json config = with(llama(), {{"model_type", "mistral"}, {"num_attention_heads", 8}, {"hidden_size", 128}});
    return read(with(config, changes));
  };
  EXPECT_EQ(mistral(json::object()).layer(0).window, 4096);
  EXPECT_EQ(mistral({{"sliding_window", nullptr}}).layer(0).window, 0);
  EXPECT_EQ(mistral({{"sliding_window", 64}}).layer(1).window, 64);
  EXPECT_EQ(mistral({{"num_key_value_heads", nullptr}}).n_kv_heads, 8);
  EXPECT_EQ(mistral({{"num_attention_heads", 16}}).n_kv_heads, 8);
  EXPECT_EQ(mistral({{"num_attention_heads", 16}, {"num_key_value_heads", nullptr}}).n_kv_heads, 16);
}

TEST(Config, EndTokensAreThoseOfGeneration) {
  const json config = with(llama(), {{"eos_token_id", {2, 3}}});
  const auto ends = [&](const std::string& generation) { return read_text(config.dump(), generation).eos_ids; };
  EXPECT_THAT(ends(""), ElementsAre(2, 3));
  EXPECT_THAT(ends("{}"), ElementsAre(2, 3));
  EXPECT_THAT(ends(R"({"eos_token_id": null})"), ElementsAre(2, 3));
  EXPECT_THAT(ends(R"({"eos_token_id": 7})"), ElementsAre(7));
  EXPECT_THAT(ends(R"({"eos_token_id": [0, 385]})"), ElementsAre(0, 385));
  EXPECT_THAT(ends(R"({"eos_token_id": [-1]})"), IsEmpty());
  EXPECT_THAT(error_of([&] { ends(R"({"eos_token_id": 1099511627776})"); }),
              EndsWith("generation_config.json: 'eos_token_id' holds 1099511627776, an id is at most 2147483647"));
  EXPECT_THAT(error_of([&] { ends(R"({"eos_token_id": "x"})"); }), HasSubstr("it must be an id or a list of ids"));
  EXPECT_THAT(error_of([&] { ends("{"); }), HasSubstr("generation_config.json: is not valid JSON"));
  EXPECT_THAT(error_with({{"eos_token_id", -9007199254740993}}), "no error");
}

/// A GGUF of a small Llama: two heads of 4 channels.
GgufBuilder gguf() {
  GgufBuilder builder;
  builder.text("general.architecture", "llama").u32("llama.embedding_length", 8).u32("llama.context_length", 64);
  builder.u32("llama.block_count", 2).u32("llama.feed_forward_length", 16).u32("llama.attention.head_count", 2);
  builder.f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  return builder.tensor("token_embd.weight", {8, 10}, 0, 0);
}

ModelConfig read(const GgufBuilder& builder) {
  const test::TemporaryFolder folder;
  const auto path = folder.file("m.gguf", builder.build(1 << 12));
  ModelFiles files;
  files.path = path;
  auto file = std::make_unique<GgufFile>(path);
  files.gguf = file.get();
  files.tensors = std::move(file);
  return read_config(files);
}
std::string message(const GgufBuilder& builder) {
  return error_of([&] { read(builder); });
}
std::vector<float> turns(const GgufBuilder& builder) { return read(builder).layer(0).rope.inverse_frequencies; }

TEST(GgufConfig, NumbersOfEveryTypeAreRead) {
  EXPECT_EQ(turns(gguf()), rope_frequencies(4, 10000));
  EXPECT_EQ(turns(gguf().f32("llama.rope.freq_base", 500000)), rope_frequencies(4, 500000));
  EXPECT_EQ(turns(gguf().u32("llama.rope.freq_base", 500000)), rope_frequencies(4, 500000));
  EXPECT_EQ(turns(gguf().value<std::uint64_t>("llama.rope.freq_base", 10, 500000)), rope_frequencies(4, 500000));
  EXPECT_EQ(turns(gguf().value<double>("llama.rope.freq_base", 12, 500000)), rope_frequencies(4, 500000));
  EXPECT_EQ(read(gguf().f32("llama.attention.head_count_kv", 1)).n_kv_heads, 1);
  EXPECT_EQ(read(gguf().value<std::int64_t>("llama.attention.head_count_kv", 11, 1)).n_kv_heads, 1);
  EXPECT_EQ(read(gguf().value<std::uint8_t>("llama.attention.head_count_kv", 0, 1)).n_kv_heads, 1);
  EXPECT_EQ(read(gguf().value<std::int16_t>("llama.attention.head_count_kv", 3, 1)).n_kv_heads, 1);
  EXPECT_EQ(read(gguf().i32s("llama.attention.head_count_kv", {1, 1})).n_kv_heads, 1);
  EXPECT_THAT(message(gguf().text("llama.rope.freq_base", "500000")),
              EndsWith("metadata llama.rope.freq_base is a string, but must be a number"));
  EXPECT_THAT(message(gguf().f32("llama.attention.head_count_kv", 1.5f)),
              EndsWith("metadata llama.attention.head_count_kv is a number, but must be an array of whole numbers"));
  EXPECT_THAT(message(gguf().i32s("llama.attention.head_count_kv", {1, 2})),
              EndsWith("m.gguf: metadata llama.attention.head_count_kv differs from layer to layer, which is not "
                       "supported"));
  EXPECT_THAT(message(gguf().value<std::int32_t>("llama.attention.head_count_kv", 5, -1)),
              HasSubstr("llama.attention.head_count_kv is -1, it must be from 1 to"));
  EXPECT_THAT(message(gguf().value<std::uint64_t>("llama.attention.head_count_kv", 10, ~0ull)),
              HasSubstr("llama.attention.head_count_kv"));
}

TEST(GgufConfig, RopeIsScaledAsLlamaCppDoes) {
  std::vector<float> quarter = rope_frequencies(4, 10000);
  for (float& it : quarter) it = static_cast<float>(it / 4.0);
  const std::vector<float> plain = rope_frequencies(4, 10000);
  EXPECT_EQ(turns(gguf().f32("llama.rope.scaling.factor", 4)), quarter);
  EXPECT_EQ(turns(gguf().u32("llama.rope.scaling.factor", 4)), quarter);
  EXPECT_EQ(turns(gguf().f32("llama.rope.scale_linear", 4)), quarter);
  EXPECT_EQ(turns(gguf().f32("llama.rope.scale_linear", 2).f32("llama.rope.scaling.factor", 4)), quarter);
  EXPECT_EQ(turns(gguf().f32("llama.rope.scaling.factor", 4).text("llama.rope.scaling.type", "linear")), quarter);
  EXPECT_EQ(turns(gguf().f32("llama.rope.scaling.factor", 4).text("llama.rope.scaling.type", "none")), plain);
  EXPECT_THAT(message(gguf().text("llama.rope.scaling.type", "dynamic")),
              HasSubstr("llama.rope.scaling.type is 'dynamic', it must be none, linear, yarn or longrope"));
  EXPECT_THAT(message(gguf().u32("llama.rope.scaling.type", 1)),
              HasSubstr("llama.rope.scaling.type is a whole number"));
  constexpr float kInf = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message(gguf().f32("llama.rope.scaling.factor", 0)), HasSubstr("factor is 0, it must be above 0"));
  EXPECT_THAT(message(gguf().f32("llama.rope.scaling.factor", kInf)), HasSubstr("factor is inf, it must be finite"));
  EXPECT_THAT(message(gguf().f32("llama.rope.scaling.factor", NAN)), HasSubstr("it must be finite"));
  EXPECT_THAT(message(gguf().f32("llama.rope.scaling.attn_factor", 0)),
              HasSubstr("attn_factor is 0, it must be above"));
  EXPECT_THAT(message(gguf().f32("llama.rope.scaling.yarn_attn_factor", 2)), HasSubstr("is not supported"));
  EXPECT_THAT(message(gguf().f32("llama.rope.scaling.yarn_beta_fast", 0)),
              HasSubstr("beta_fast is 0, it must be above"));
  EXPECT_THAT(message(gguf().u32("llama.rope.dimension_count", 2)), HasSubstr("heads have 4 channels"));
}

/// llama.cpp's names for what Ministral 3's config.json says.
TEST(GgufConfig, QueriesOfMinistral3Grow) {
  const auto mistral3 = [] {
    GgufBuilder builder;
    builder.text("general.architecture", "mistral3").u32("mistral3.embedding_length", 8);
    builder.u32("mistral3.context_length", 64).u32("mistral3.block_count", 2).u32("mistral3.feed_forward_length", 16);
    builder.u32("mistral3.attention.head_count", 2).f32("mistral3.attention.layer_norm_rms_epsilon", 1e-5f);
    return builder.tensor("token_embd.weight", {8, 10}, 0, 0);
  };
  EXPECT_EQ(read(mistral3()).layer(1).query_growth, QueryGrowth());
  EXPECT_EQ(read(mistral3().f32("mistral3.attention.temperature_scale", 0.5f)).layer(1).query_growth,
            (QueryGrowth{0.5f, 64}));
  EXPECT_EQ(read(mistral3()
                     .f32("mistral3.attention.temperature_scale", 0.5f)
                     .u32("mistral3.rope.scaling.original_context_length", 16))
                .layer(1)
                .query_growth,
            (QueryGrowth{0.5f, 16}));
  EXPECT_THAT(message(mistral3().f32("mistral3.attention.temperature_scale", -1)),
              EndsWith("metadata mistral3.attention.temperature_scale is -1, it must be at least 0"));
  EXPECT_THAT(message(gguf().f32("llama.attention.temperature_scale", 0.5f)), HasSubstr("is not known here"));
}

TEST(GgufConfig, KeysThatAreMissingOrNotUnderstoodAreNamed) {
  GgufBuilder without;
  without.text("general.architecture", "llama").u32("llama.embedding_length", 8).u32("llama.context_length", 64);
  without.u32("llama.block_count", 2).u32("llama.feed_forward_length", 16).u32("llama.attention.head_count", 2);
  without.tensor("token_embd.weight", {8, 10}, 0, 0);
  EXPECT_THAT(message(without), EndsWith("metadata llama.attention.layer_norm_rms_epsilon is missing"));
  EXPECT_THAT(message(gguf().u32("llama.attention.sliding_window", 64)),
              EndsWith("metadata llama.attention.sliding_window is not known here; results without it could be wrong"));
  EXPECT_THAT(message(gguf().u32("llama.expert_count", 8)), HasSubstr("metadata llama.expert_used_count is missing"));
  EXPECT_THAT(message(gguf().u32("llama.expert_count", 8).u32("llama.expert_used_count", 2)),
              HasSubstr("but no layer has a router (ffn_gate_inp.weight)"));
  EXPECT_THAT(message(gguf().u32("llama.attention.value_length", 8)), HasSubstr("value_length 8 is not supported"));
  EXPECT_EQ(message(gguf()
                        .u32("llama.expert_count", 0)
                        .u32("llama.vocab_size", 10)
                        .u32("llama.attention.value_length", 4)
                        .u32("llama.rope.dimension_count", 4)
                        .u32("llama.rope.scaling.original_context_length", 32)
                        .u32("general.file_type", 1)
                        .u32("other.key", 1)),
            "no error");
}

TEST(GgufConfig, BiasesAreThoseThatTheFileHas) {
  GgufBuilder builder = gguf();
  builder.tensor("blk.1.attn_k.bias", {8}, 0, 1024).tensor("blk.0.ffn_up.bias", {16}, 0, 2048);
  const ModelConfig config = read(builder);
  EXPECT_EQ(config.layer(0).biases, (BiasSpec{false, false, false, false, true, false}));
  EXPECT_EQ(config.layer(1).biases, (BiasSpec{false, true, false, false, false, false}));
}

TEST(GgufConfig, EndTokensAreThoseOfLlamaCpp) {
  set_quiet(true);
  const auto ends = [](const std::vector<std::string>& tokens, const auto& change) {
    GgufBuilder builder = gguf();
    builder.texts("tokenizer.ggml.tokens", tokens);
    change(builder);
    return read(builder).eos_ids;
  };
  const auto none = [](GgufBuilder&) {};
  EXPECT_THAT(ends({"a", "b"}, none), IsEmpty());
  EXPECT_THAT(ends({"a", "<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|eom_id|>", "<EOT>", "_<EOT>"}, none),
              ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(ends({"<|endoftext|>", "a", "<|end_of_text|>", "<|end|>", "</s>"}, none), ElementsAre(0, 2, 3, 4));
  EXPECT_THAT(ends({"a", "b", "c"}, [](GgufBuilder& it) { it.u32("tokenizer.ggml.eot_token_id", 2); }), ElementsAre(2));
  EXPECT_THAT(
      ends({"a", "b", "c"},
           [](GgufBuilder& it) { it.u32("tokenizer.ggml.eos_token_id", 0).u32("tokenizer.ggml.eom_token_id", 1); }),
      ElementsAre(0, 1));
  EXPECT_THAT(
      ends({"a", "b"}, [](GgufBuilder& it) { it.value<std::uint64_t>("tokenizer.ggml.eos_token_id", 10, 1ull << 40); }),
      IsEmpty());
  // A message ends otherwise than a turn; a repository ends what is filled in.
  EXPECT_THAT(ends({"<|end|>", "<|return|>", "<|call|>"}, none), ElementsAre(1, 2));
  EXPECT_THAT(ends({"<|fim_pad|>", "<|file_sep|>", "<|repo_name|>", "<|fim_prefix|>"}, none), ElementsAre(0, 1, 2));
  set_quiet(false);
}

}  // namespace
}  // namespace kvpress
