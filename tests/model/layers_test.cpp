// What layers are described to have (layer_spec.h), against plain loops; and layers that look back no further than a
// window.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numbers>
#include <random>
#include <utility>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/model/model.h"
#include "small_model.h"

namespace kvpress {
namespace {

using Rows = std::vector<std::vector<double>>;

constexpr std::int64_t kHidden = 32;
constexpr std::int64_t kHeads = 4;
constexpr std::int64_t kKVHeads = 2;
constexpr std::int64_t kDim = 8;
constexpr std::int64_t kInner = 24;
constexpr std::int64_t kVocab = 50;

struct PlainNorm {
  std::vector<float> weight, bias;
};

struct PlainLayer {
  PlainNorm attention, attention_post, mlp, mlp_post, query, key;
  std::vector<float> qkv, out, in, down;  // [rows, columns]
  std::vector<float> qkv_bias, out_bias, in_bias, down_bias;
  std::vector<float> sinks, router, router_bias;
  std::vector<std::vector<float>> expert_in, expert_down;
};

/// A model in plain loops, in double, and the same for Model.
class Plain {
 public:
  Plain(std::vector<LayerSpec> specs, NormKind final_norm, float embedding_scale, const ExpertSpec& experts = {}) {
    config.experts = experts;
    config.architecture = "llama";
    config.n_layers = std::ssize(specs);
    config.hidden_size = kHidden;
    config.n_heads = kHeads;
    config.n_kv_heads = kKVHeads;
    config.head_dim = kDim;
    config.vocab_size = kVocab;
    config.max_positions = 256;
    config.final_norm = final_norm;
    config.embedding_scale = embedding_scale;
    config.layers = std::move(specs);
    embedding_ = std::make_shared<std::vector<float>>(draw(kVocab * kHidden, 0.5f));
    final_ = norm(final_norm, kHidden);
    constexpr std::int64_t kQ = kHeads * kDim, kKV = kKVHeads * kDim;
    for (const LayerSpec& spec : config.layers) {
      PlainLayer& layer = layers_.emplace_back();
      layer.attention = norm(spec.norm, kHidden);
      layer.attention_post = norm(spec.norm, kHidden);
      layer.mlp = norm(spec.norm, kHidden);
      layer.mlp_post = norm(spec.norm, kHidden);
      if (spec.query_norm) layer.query = norm(*spec.query_norm, spec.norms_heads_together ? kQ : kDim);
      if (spec.key_norm) layer.key = norm(*spec.key_norm, spec.norms_heads_together ? kKV : kDim);
      if (spec.attention_sinks) layer.sinks = draw(kHeads, 1.0f);
      const std::int64_t inner = (spec.gated ? 2 : 1) * kInner;
      layer.qkv = draw((kQ + 2 * kKV) * kHidden, 0.3f);
      layer.out = draw(kHidden * kQ, 0.3f);
      layer.in = draw(inner * kHidden, 0.3f);
      layer.down = draw(kHidden * kInner, 0.3f);
      for (const auto& [there, n] :
           {std::pair{spec.biases.query, kQ}, {spec.biases.key, kKV}, {spec.biases.value, kKV}}) {
        const auto part = there ? draw(n, 0.5f) : std::vector<float>(static_cast<std::size_t>(n), 0.0f);
        layer.qkv_bias.insert(layer.qkv_bias.end(), part.begin(), part.end());
      }
      if (!spec.biases.in_qkv()) layer.qkv_bias.clear();
      if (spec.biases.attention_out) layer.out_bias = draw(kHidden, 0.5f);
      if (spec.biases.mlp_in) layer.in_bias = draw(inner, 0.5f);
      if (spec.biases.mlp_out) layer.down_bias = draw(kHidden, 0.5f);
      if (spec.feed_forward != FeedForwardKind::experts) continue;
      layer.router = draw(config.experts.n * kHidden, 0.3f);
      if (config.experts.router_bias) layer.router_bias = draw(config.experts.n, 0.5f);
      for (std::int64_t e = 0; e < config.experts.n; ++e) {
        layer.expert_in.push_back(draw(inner * kHidden, 0.3f));
        layer.expert_down.push_back(draw(kHidden * kInner, 0.3f));
      }
    }
  }

  Model model() {
    const Numerics numerics;
    PageArena arena;
    const auto linear = [&](const std::vector<float>& weights, std::int64_t in, const std::vector<float>& bias,
                            Activation activation = Activation::none) {
      const auto rows = [&weights, in](std::int64_t first, std::int64_t n, float* to) {
        std::copy_n(weights.data() + first * in, n * in, to);
      };
      return make_linear(std::ssize(weights) / in, in, rows, bias, numerics, activation, arena);
    };
    const auto held = [](const PlainNorm& it) {
      NormWeights result;
      result.weight.assign(it.weight.begin(), it.weight.end());
      result.bias.assign(it.bias.begin(), it.bias.end());
      return result;
    };
    DecoderWeights weights;
    weights.embedding = {"embedding", StoredType::f32, "F32", {kVocab, kHidden}, std::as_bytes(std::span(*embedding_))};
    weights.final_norm = held(final_);
    weights.output = linear(*embedding_, kHidden, {});
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const PlainLayer& it = layers_[l];
      const LayerSpec& spec = config.layers[l];
      LayerWeights layer;
      if (spec.normed_before()) {
        layer.attention_norm = held(it.attention);
        layer.mlp_norm = held(it.mlp);
      }
      if (spec.normed_after()) {
        layer.attention_post_norm = held(it.attention_post);
        layer.mlp_post_norm = held(it.mlp_post);
      }
      if (spec.query_norm) layer.query_norm = held(it.query);
      if (spec.key_norm) layer.key_norm = held(it.key);
      layer.qkv = linear(it.qkv, kHidden, it.qkv_bias);
      layer.attention_out = linear(it.out, kHeads * kDim, it.out_bias);
      layer.sinks.assign(it.sinks.begin(), it.sinks.end());
      if (spec.feed_forward == FeedForwardKind::experts) layer.router = linear(it.router, kHidden, it.router_bias);
      for (std::size_t e = 0; e < it.expert_in.size(); ++e) {
        layer.experts.push_back(
            {linear(it.expert_in[e], kHidden, it.in_bias), linear(it.expert_down[e], kInner, it.down_bias)});
      }
      layer.mlp_in = linear(it.in, kHidden, it.in_bias, spec.gated ? Activation::none : spec.activation);
      layer.mlp_out = linear(it.down, kInner, it.down_bias);
      weights.layers.push_back(std::move(layer));
    }
    return {config, numerics, std::move(weights), embedding_};
  }

  Rows forward(const std::vector<std::int32_t>& tokens) const {
    Rows x;
    for (const std::int32_t token : tokens) {
      auto& row = x.emplace_back();
      for (std::int64_t c = 0; c < kHidden; ++c) {
        row.push_back(static_cast<double>((*embedding_)[static_cast<std::size_t>(token * kHidden + c)]) *
                      static_cast<double>(config.embedding_scale));
      }
    }
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const LayerSpec& spec = config.layers[l];
      const PlainLayer& it = layers_[l];
      const auto part = [&](const Rows& input, const PlainNorm& before, const PlainNorm& after, auto&& f) {
        Rows y = spec.normed_before() ? normed(input, before, spec.norm_eps) : input;
        y = f(y);
        return spec.normed_after() ? normed(y, after, spec.norm_eps) : y;
      };
      const Rows attended =
          part(x, it.attention, it.attention_post, [&](const Rows& y) { return attention(spec, it, y); });
      const Rows with_attention = added(x, attended);
      const Rows& input = spec.parallel ? x : with_attention;
      x = added(with_attention, part(input, it.mlp, it.mlp_post, [&](const Rows& y) { return mlp(spec, it, y); }));
    }
    return normed(x, final_, config.final_norm_eps);
  }

  ModelConfig config;

 private:
  std::vector<float> draw(std::int64_t n, float deviation) {
    std::normal_distribution<float> normal(0.0f, deviation);
    std::vector<float> values(static_cast<std::size_t>(n));
    for (float& it : values) it = normal(random_);
    return values;
  }
  PlainNorm norm(NormKind kind, std::int64_t n) {
    PlainNorm result{draw(n, 0.3f), {}};
    for (float& it : result.weight) it += 1.0f;
    if (kind == NormKind::layer_norm) result.bias = draw(n, 0.2f);
    return result;
  }

  static Rows added(Rows x, const Rows& y) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      for (std::size_t c = 0; c < x[i].size(); ++c) x[i][c] += y[i][c];
    }
    return x;
  }

  /// LayerNorm where there is a bias, else RMSNorm.
  static void norm_values(double* x, const PlainNorm& norm, double eps) {
    const auto n = static_cast<double>(norm.weight.size());
    double mean = 0, square = 0;
    if (!norm.bias.empty()) {
      for (std::size_t c = 0; c < norm.weight.size(); ++c) mean += x[c] / n;
    }
    for (std::size_t c = 0; c < norm.weight.size(); ++c) square += (x[c] - mean) * (x[c] - mean) / n;
    for (std::size_t c = 0; c < norm.weight.size(); ++c) {
      x[c] = (x[c] - mean) / std::sqrt(square + eps) * static_cast<double>(norm.weight[c]);
      if (!norm.bias.empty()) x[c] += static_cast<double>(norm.bias[c]);
    }
  }
  static Rows normed(Rows x, const PlainNorm& norm, float eps) {
    for (auto& row : x) norm_values(row.data(), norm, static_cast<double>(eps));
    return x;
  }

  static Rows product(const Rows& x, const std::vector<float>& weights, const std::vector<float>& bias) {
    Rows y;
    for (const auto& row : x) {
      auto& out = y.emplace_back();
      for (std::size_t r = 0; r < weights.size() / row.size(); ++r) {
        double sum = bias.empty() ? 0.0 : static_cast<double>(bias[r]);
        for (std::size_t c = 0; c < row.size(); ++c) sum += static_cast<double>(weights[r * row.size() + c]) * row[c];
        out.push_back(sum);
      }
    }
    return y;
  }

  static double activated(double x, Activation activation) {
    switch (activation) {
      case Activation::gelu_erf:
        return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2));
      case Activation::gelu_tanh:
        return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
      case Activation::relu:
        return std::max(0.0, x);
      case Activation::silu:
        return x / (1 + std::exp(-x));
      case Activation::none:
        break;
    }
    return x;
  }

  static Rows dense(const LayerSpec& spec, const PlainLayer& layer, const std::vector<float>& in,
                    const std::vector<float>& down, const Rows& x) {
    Rows inner = product(x, in, layer.in_bias);
    for (auto& row : inner) {
      for (std::size_t c = 0; c < kInner; ++c) {
        if (spec.gate_limit > 0) {
          const auto limit = static_cast<double>(spec.gate_limit);
          const double gate = std::min(row[c], limit), up = std::clamp(row[c + kInner], -limit, limit);
          row[c] = gate / (1 + std::exp(-1.702 * gate)) * (up + 1);
        } else {
          row[c] = activated(row[c], spec.activation) * (spec.gated ? row[c + kInner] : 1.0);
        }
      }
      row.resize(kInner);
    }
    return product(inner, down, layer.down_bias);
  }

  Rows mlp(const LayerSpec& spec, const PlainLayer& layer, const Rows& x) const {
    if (spec.feed_forward == FeedForwardKind::dense) return dense(spec, layer, layer.in, layer.down, x);
    const Rows logits = product(x, layer.router, layer.router_bias);
    Rows result;
    for (std::size_t t = 0; t < x.size(); ++t) {
      std::vector<std::pair<double, std::size_t>> order;
      double all = 0, chosen = 0;
      for (std::size_t e = 0; e < logits[t].size(); ++e) {
        order.emplace_back(std::exp(logits[t][e]), e);
        all += order.back().first;
      }
      std::sort(order.rbegin(), order.rend());
      order.resize(static_cast<std::size_t>(config.experts.n_used));
      for (const auto& it : order) chosen += it.first;
      auto& sum = result.emplace_back(static_cast<std::size_t>(kHidden), 0.0);
      for (const auto& [weight, e] : order) {
        const Rows y = dense(spec, layer, layer.expert_in[e], layer.expert_down[e], {x[t]});
        for (std::size_t c = 0; c < sum.size(); ++c) {
          sum[c] += weight / (config.experts.normalized ? chosen : all) * y[0][c];
        }
      }
    }
    return result;
  }

  static void turn(const RopeSpec& rope, double* x, std::size_t position) {
    const std::size_t half = rope.inverse_frequencies.size();
    for (std::size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * static_cast<double>(rope.inverse_frequencies[i]);
      const double a = x[i], b = x[i + half];
      x[i] = (a * std::cos(angle) - b * std::sin(angle)) * static_cast<double>(rope.attention_factor);
      x[i + half] = (b * std::cos(angle) + a * std::sin(angle)) * static_cast<double>(rope.attention_factor);
    }
  }

  Rows attention(const LayerSpec& spec, const PlainLayer& layer, const Rows& x) const {
    Rows qkv = product(x, layer.qkv, layer.qkv_bias);
    for (std::size_t t = 0; t < x.size(); ++t) {
      if (spec.norms_heads_together) {
        norm_values(qkv[t].data(), layer.query, static_cast<double>(spec.norm_eps));
        norm_values(qkv[t].data() + kHeads * kDim, layer.key, static_cast<double>(spec.norm_eps));
      }
      for (std::int64_t h = 0; h < kHeads + kKVHeads; ++h) {
        double* at = qkv[t].data() + h * kDim;
        const bool is_query = h < kHeads;
        if (spec.norms_heads_together) {
        } else if (is_query ? spec.query_norm.has_value() : spec.key_norm.has_value()) {
          norm_values(at, is_query ? layer.query : layer.key, static_cast<double>(spec.norm_eps));
        }
        turn(spec.rope, at, t);
        if (!is_query || spec.query_growth.beta == 0) continue;
        const double contexts = std::floor(static_cast<double>(t) / static_cast<double>(spec.query_growth.context));
        for (std::int64_t c = 0; c < kDim; ++c) {
          at[c] *= 1 + static_cast<double>(spec.query_growth.beta) * std::log(1 + contexts);
        }
      }
    }
    const double scale = spec.attention_scale > 0 ? static_cast<double>(spec.attention_scale) : 1 / std::sqrt(8.0);
    Rows out;
    for (std::size_t t = 0; t < x.size(); ++t) {
      auto& row = out.emplace_back();
      const auto window = static_cast<std::size_t>(spec.window);
      const std::size_t first = window > 0 && t >= window ? t - window + 1 : 0;
      for (std::int64_t h = 0; h < kHeads; ++h) {
        const std::int64_t key_at = (kHeads + h / 2) * kDim;
        const std::int64_t value_at = key_at + kKVHeads * kDim;
        std::vector<double> weights;
        double sum =
            spec.attention_sinks ? std::exp(static_cast<double>(layer.sinks[static_cast<std::size_t>(h)])) : 0.0;
        for (std::size_t j = first; j <= t; ++j) {
          double dot = 0;
          for (std::int64_t c = 0; c < kDim; ++c) dot += qkv[t].data()[h * kDim + c] * qkv[j].data()[key_at + c];
          dot *= scale;
          if (const auto cap = static_cast<double>(spec.attention_soft_cap); cap > 0) dot = cap * std::tanh(dot / cap);
          weights.push_back(std::exp(dot));
          sum += weights.back();
        }
        for (std::int64_t c = 0; c < kDim; ++c) {
          double value = 0;
          for (std::size_t j = first; j <= t; ++j) value += weights[j - first] / sum * qkv[j].data()[value_at + c];
          row.push_back(value);
        }
      }
    }
    return product(out, layer.out, layer.out_bias);
  }

  std::mt19937 random_{9};
  std::shared_ptr<std::vector<float>> embedding_;
  PlainNorm final_;
  std::vector<PlainLayer> layers_;
};

LayerSpec plain_layer() {
  LayerSpec spec;
  spec.norm = NormKind::rms_norm;
  spec.intermediate_size = kInner;
  spec.activation = Activation::silu;
  spec.gated = true;
  spec.rope.inverse_frequencies = rope_frequencies(kDim, 10000.0);
  return spec;
}

LayerSpec with(const std::function<void(LayerSpec&)>& change) {
  LayerSpec spec = plain_layer();
  change(spec);
  return spec;
}

std::vector<std::int32_t> text(std::int64_t n) {
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < n; ++i) tokens.push_back(static_cast<std::int32_t>((i * i * 7 + i) % kVocab));
  return tokens;
}

/// In one pass, and in blocks: a hidden state a token.
void expect_like_plain(Plain& plain) {
  const auto tokens = text(90);
  const Rows expected = plain.forward(tokens);
  const Model model = plain.model();
  for (const bool whole : {true, false}) {
    KVCache cache = model.make_cache(DType::f32);
    for (std::int64_t at = 0; at < 90;) {
      const std::int64_t n = whole ? 90 : std::min<std::int64_t>(90 - at, at % 4 == 0 ? 17 : 1);
      std::vector<float> hidden(static_cast<std::size_t>(n * kHidden));
      model.forward({std::span(tokens).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(n)),
                     at,
                     cache,
                     nullptr,
                     {hidden.data(), n, kHidden}});
      for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t c = 0; c < kHidden; ++c) {
          ASSERT_NEAR(hidden[static_cast<std::size_t>(i * kHidden + c)],
                      expected[static_cast<std::size_t>(at + i)][static_cast<std::size_t>(c)], 2e-4)
              << (whole ? "whole" : "blocks") << ", token " << at + i;
        }
      }
      at += n;
    }
  }
}

TEST(Layers, TraitsAreThoseOfPlainLoops) {
  const std::vector<std::pair<const char*, LayerSpec>> layers = {
      {"plain", plain_layer()},
      {"LayerNorm", with([](LayerSpec& it) { it.norm = NormKind::layer_norm; })},
      {"norm after", with([](LayerSpec& it) { it.norm_place = NormPlace::after; })},
      {"norm both", with([](LayerSpec& it) { it.norm_place = NormPlace::both; })},
      {"LayerNorm after, parallel", with([](LayerSpec& it) {
         it.norm = NormKind::layer_norm;
         it.norm_place = NormPlace::after;
         it.parallel = true;
       })},
      {"parallel", with([](LayerSpec& it) { it.parallel = true; })},
      {"query norm", with([](LayerSpec& it) { it.query_norm = NormKind::rms_norm; })},
      {"query and key norms", with([](LayerSpec& it) {
         it.query_norm = NormKind::layer_norm;
         it.key_norm = NormKind::rms_norm_plus_one;
       })},
      {"query bias", with([](LayerSpec& it) { it.biases.query = true; })},
      {"value bias", with([](LayerSpec& it) { it.biases.value = true; })},
      {"attention_out bias", with([](LayerSpec& it) { it.biases.attention_out = true; })},
      {"mlp biases", with([](LayerSpec& it) { it.biases.mlp_in = it.biases.mlp_out = true; })},
      {"all biases", with([](LayerSpec& it) { it.biases = {true, true, true, true, true, true}; })},
      {"gelu gate", with([](LayerSpec& it) { it.activation = Activation::gelu_tanh; })},
      {"erf gate", with([](LayerSpec& it) { it.activation = Activation::gelu_erf; })},
      {"relu gate", with([](LayerSpec& it) { it.activation = Activation::relu; })},
      {"no gate", with([](LayerSpec& it) { it.gated = false; })},
      {"no rope", with([](LayerSpec& it) { it.rope = {}; })},
      {"part of rope", with([](LayerSpec& it) { it.rope.inverse_frequencies = rope_frequencies(4, 500.0); })},
      {"attention factor", with([](LayerSpec& it) { it.rope.attention_factor = 1.4f; })},
      {"attention factor of part of rope", with([](LayerSpec& it) {
         it.rope = {rope_frequencies(4, 500.0), 0.6f};
         it.query_norm = NormKind::rms_norm;
       })},
      {"queries that grow", with([](LayerSpec& it) {
         it.query_growth = {0.6f, 16};
       })},
      {"attention scale", with([](LayerSpec& it) { it.attention_scale = 0.7f; })},
      {"window", with([](LayerSpec& it) { it.window = 13; })},
      {"window of one", with([](LayerSpec& it) { it.window = 1; })},
      {"norms over all heads", with([](LayerSpec& it) {
         it.query_norm = it.key_norm = NormKind::rms_norm;
         it.norms_heads_together = true;
       })},
      {"soft cap", with([](LayerSpec& it) { it.attention_soft_cap = 0.8f; })},
      {"sinks", with([](LayerSpec& it) { it.attention_sinks = true; })},
      {"sinks and a window", with([](LayerSpec& it) {
         it.attention_sinks = true;
         it.window = 13;
       })},
      {"limited gate", with([](LayerSpec& it) { it.gate_limit = 0.9f; })},
      {"experts", with([](LayerSpec& it) { it.feed_forward = FeedForwardKind::experts; })},
      {"experts with biases, norms after", with([](LayerSpec& it) {
         it.feed_forward = FeedForwardKind::experts;
         it.biases.mlp_in = it.biases.mlp_out = true;
         it.norm_place = NormPlace::both;
       })},
  };
  ExpertSpec experts;
  experts.n = 5;
  experts.n_used = 2;
  for (const auto& [name, spec] : layers) {
    SCOPED_TRACE(name);
    experts.normalized = !experts.normalized;
    experts.router_bias = !experts.normalized;
    Plain plain({spec, plain_layer()}, NormKind::rms_norm, 1.0f, experts);
    expect_like_plain(plain);
  }
  SCOPED_TRACE("all at once");
  std::vector<LayerSpec> all;
  for (const auto& [name, spec] : layers) all.push_back(spec);
  Plain plain(all, NormKind::layer_norm, 3.5f, experts);
  expect_like_plain(plain);
}

TEST(Layers, ParametersAreCounted) {
  ModelConfig config = named_shape("smollm2-135m");
  EXPECT_EQ(config.n_parameters(), 134515008);
  config.layers[0].biases = {true, false, true, false, true, false};
  config.layers[1].norm_place = NormPlace::both;
  config.layers[2].query_norm = NormKind::rms_norm;
  config.layers[2].key_norm = NormKind::layer_norm;
  EXPECT_EQ(config.n_parameters(), 134515008 + 576 + 192 + 2 * 1536 + 2 * 576 + 64 + 128);
}

TEST(Layers, WhatIsNotCarriedOutIsRefusedByName) {
  const auto refusal = [](const std::function<void(ModelConfig&)>& change) -> std::string {
    ModelConfig config = test::small_config();
    change(config);
    try {
      check_supported(config, "some.json");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal([](ModelConfig&) {}), "");
  using testing::AllOf;
  using testing::HasSubstr;
  EXPECT_THAT(refusal([](ModelConfig& it) { it.layers[0].feed_forward = FeedForwardKind::experts; }),
              AllOf(HasSubstr("some.json"), HasSubstr("experts")));
  EXPECT_THAT(refusal([](ModelConfig& it) { it.n_layers = 3; }), HasSubstr("layers"));
  EXPECT_THAT(refusal([](ModelConfig& it) { it.layers[1].query_growth.beta = 0.1f; }), HasSubstr("growth of queries"));
}

/// Every other layer has a window.
ModelConfig alternating(std::int64_t window) {
  ModelConfig config = test::small_config(4);
  for (std::size_t l = 1; l < 4; l += 2) config.layers[l].window = window;
  return config;
}

TEST(Windows, BlocksGiveWhatOnePassGives) {
  for (const CacheFormat& format : {CacheFormat(DType::f32), CacheFormat(DType::f32, 8, 32)}) {
    for (const bool renumber : {false, true}) {
      const Model model = random_model(alternating(100), {false, DType::f32}, 3);
      const auto tokens = test::random_text(1300).ids;
      const std::int64_t cols = model.config().hidden_size;
      KVCache whole = model.make_cache(DType::f32, 0, renumber);
      AlignedVector<float> expected(static_cast<std::size_t>(1300 * cols)), actual(expected.size());
      model.forward({tokens, 0, whole, nullptr, {expected.data(), 1300, cols}});
      KVCache cache = model.make_cache(format, 1, renumber);
      for (std::int64_t at = 0, n = 0; at < 1300; at += n) {
        n = std::min<std::int64_t>(1300 - at, at < 700 ? 250 : at < 1000 ? 1 : 75);
        model.forward({std::span(tokens).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(n)),
                       at,
                       cache,
                       nullptr,
                       {actual.data() + at * cols, n, cols}});
        for (std::int64_t h = 0; h < 2; ++h) {
          EXPECT_EQ(cache.head(0, h).size(), at + n);
          // Those that wait to be dropped, and what is left of a quantized group.
          EXPECT_LT(cache.head(1, h).size(), 100 + 64 + (format.bits > 0 ? 32 : 0));
          EXPECT_GE(cache.head(1, h).size(), std::min<std::int64_t>(at + n, 99));
        }
      }
      double error = 0, size = 0;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        error += std::pow(static_cast<double>(expected[i] - actual[i]), 2);
        size += std::pow(static_cast<double>(expected[i]), 2);
      }
      EXPECT_LT(std::sqrt(error / size), format.bits > 0 ? 0.05 : 1e-4) << "renumber " << renumber;
      EXPECT_LT(cache.allocated_bytes(),
                model.make_cache(format).bytes_per_token(cache.shape()) * 1300 * 3 / 4 + 100000);
    }
  }
}

TEST(Windows, AWindowAsLongAsTheTextChangesNothing) {
  const Model windowed = random_model(alternating(200), {false, DType::bf16}, 3);
  const Model full = random_model(test::small_config(4), {false, DType::bf16}, 3);
  const auto tokens = test::random_text(200).ids;
  std::vector<float> a(192), b(192);
  KVCache one = windowed.make_cache(DType::bf16), other = full.make_cache(DType::bf16);
  windowed.forward({tokens, 0, one, nullptr, {a.data(), 1, 192}});
  full.forward({tokens, 0, other, nullptr, {b.data(), 1, 192}});
  EXPECT_EQ(a, b);
}

TEST(Windows, SequencesOfABatchHaveTheirOwn) {
  const Model model = random_model(alternating(40), {false, DType::f32}, 3);
  std::vector<KVCache> caches, alone;
  const auto tokens = test::random_text(300).ids;
  for (const std::size_t n : {10, 39, 40, 100, 290}) {
    caches.push_back(model.make_cache(DType::f32));
    model.forward({std::span(tokens).first(n), 0, caches.back()});
  }
  alone = caches;
  Workspace workspace;
  std::vector<float> together(5 * 192), one(192);
  std::vector<Step> steps;
  for (std::size_t i = 0; i < 5; ++i) {
    steps.push_back({std::span(tokens).last(1),
                     std::vector{10, 39, 40, 100, 290}[i],
                     caches[i],
                     nullptr,
                     {together.data() + i * 192, 1, 192}});
  }
  model.forward(steps, workspace);
  for (std::size_t i = 0; i < 5; ++i) {
    model.forward({std::span(tokens).last(1), steps[i].first_position, alone[i], nullptr, {one.data(), 1, 192}});
    for (std::size_t c = 0; c < 192; ++c) EXPECT_NEAR(one[c], together[i * 192 + c], 1e-5) << i;
  }
}

/// Adds up what after_layer() is shown.
class Outputs : public AttentionListener {
 public:
  bool wants_whole_block() const override { return false; }
  bool wants_attention_output() const override { return true; }
  void after_attention(const AttentionBlock& /*block*/) override {}
  void after_layer(const LayerOutput& output) override {
    outputs.emplace_back(output.attention_output.data,
                         output.attention_output.data + output.attention_output.rows * output.attention_output.cols);
    streams.emplace_back(output.residual.data, output.residual.data + output.residual.rows * output.residual.cols);
  }
  std::vector<std::vector<float>> outputs, streams;
};

/// Queries of the first layer, before and after RoPE.
class FirstQueries : public AttentionListener {
 public:
  void after_attention(const AttentionBlock& block) override {
    if (block.layer > 0) return;
    for (const auto& [from, to] : {std::pair(&block.queries_before_rope, &before), {&block.queries, &after}}) {
      for (std::int64_t t = 0; t < block.n_new; ++t) to->insert(to->end(), from->row(t), from->row(t) + from->cols);
    }
  }
  std::vector<float> before, after;
};

/// Where a layer's queries grow, presses see them as attention does, before RoPE and after.
TEST(Listeners, SeeQueriesThatHaveGrown) {
  ModelConfig config = test::small_config(1);
  const Model plain = random_model(config, {false, DType::f32}, 5);
  config.layers[0].query_growth = {0.5f, 10};
  const Model grown = random_model(config, {false, DType::f32}, 5);
  const auto tokens = test::random_text(45).ids;
  FirstQueries expected, seen;
  for (const auto& [model, to] : {std::pair(&plain, &expected), {&grown, &seen}}) {
    KVCache cache = model->make_cache(DType::f32);
    for (const std::size_t n : {40u, 5u}) {
      model->forward({std::span(tokens).subspan(n == 40 ? 0 : 40, n), n == 40 ? 0 : 40, cache, to, {}});
    }
  }
  const auto cols = static_cast<std::size_t>(config.n_heads * config.head_dim);
  ASSERT_EQ(seen.before.size(), 45 * cols);
  for (std::size_t i = 0; i < seen.before.size(); ++i) {
    const float factor = 1 + 0.5f * std::log(1.0f + std::floor(static_cast<float>(i / cols) / 10));
    ASSERT_NEAR(seen.before[i], factor * expected.before[i], 1e-5f) << i;
    ASSERT_NEAR(seen.after[i], factor * expected.after[i], 1e-5f) << i;
  }
}

TEST(Listeners, SeeWhatAttentionAddsToTheStream) {
  for (const NormPlace place : {NormPlace::before, NormPlace::both}) {
    ModelConfig config = test::small_config(3);
    for (LayerSpec& it : config.layers) it.norm_place = place;
    const Model model = random_model(config, {false, DType::f32}, 5);
    const auto tokens = test::random_text(1100).ids;
    KVCache a = model.make_cache(DType::f32), b = model.make_cache(DType::f32);
    std::vector<float> with(192), without(192);
    Outputs outputs;
    model.forward({tokens, 0, a, &outputs, {with.data(), 1, 192}});
    model.forward({tokens, 0, b, nullptr, {without.data(), 1, 192}});
    for (std::size_t c = 0; c < 192; ++c) EXPECT_NEAR(with[c], without[c], 1e-4);
    ASSERT_EQ(outputs.outputs.size(), 3u);
    for (const auto& it : outputs.outputs) {
      ASSERT_EQ(it.size(), 1100u * 192u);
      double square = 0;
      for (const float x : it) square += static_cast<double>(x) * static_cast<double>(x);
      EXPECT_GT(square, 1.0);
      EXPECT_TRUE(std::isfinite(square));
      if (place == NormPlace::both) {
        EXPECT_NEAR(square / (1100.0 * 192.0), 1.0, 0.01);  // normed by ones
      }
    }
  }
}

}  // namespace
}  // namespace kvpress
