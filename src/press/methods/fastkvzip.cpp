// Fast KVzip (https://arxiv.org/abs/2601.17668): a small trained gate of each layer reads a token's hidden state and
// says how much KVzip would think of it. Scores are made once, when the token comes, and carried beside it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/kit/trained_file.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/global_selection.h"
#include "press/kit/lazy_linear.h"
#include "press/kit/replay.h"

namespace kvpress {
namespace {

/// From this length on the local window is window_size tokens, below it a share of the text.
constexpr std::int64_t kLongText = 32000;
constexpr float kNormEps = 1e-6f;

/// One layer's gate: a query for each query head and a key for each KV head, of `width` channels.
struct Gate {
  LazyLinear projection;            // rows: every query head's, then every key's
  std::vector<float> query_weight;  // of the norms
  std::vector<float> key_weight;
  std::vector<float> base;     // [n_kv_heads, n_base, width]: keys that every token competes with
  std::vector<float> offsets;  // [n_heads], added to the token's own logit
  std::int64_t n_base;
};

class FastKVzip : public ContextPress<FastKVzip> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.file("file", file_, "safetensors file of trained gates, see docs/presses.md");
    visitor.flag("layerwise", layerwise_, "every layer keeps the same number; otherwise all layers share one budget");
    visitor.integer("n_sink", n_sink_, 0, "first tokens that are always kept");
    visitor.integer("window_size", window_size_, 1,
                    "last tokens that are always kept, for texts of at least 32000 tokens");
    visitor.real("window_ratio", window_ratio_, 0, 1,
                 "share of the last tokens that are always kept, for shorter texts");
  }
  PressNeeds needs() const override { return {.every_block = true, .n_carried = 1}; }

  void prepare(const PressSetup& setup) override {
    const ModelConfig& config = setup.config;
    const TrainedFile file("fastkvzip", "file", "", file_, setup);
    if (file.has(fmt::format("layers.{}.q_proj.weight", config.n_layers))) {
      file.complain(fmt::format("{} is for more than the model's {} layers", file_, config.n_layers));
    }
    gates_ = std::make_shared<std::vector<Gate>>();
    for (std::int64_t l = 0; l < config.n_layers; ++l) gates_->push_back(read(file, l, config));
  }

  void observe(const LayerView& layer) override {
    if (gates_ == nullptr) fail("fastkvzip: its file has not been read");
    Gate& gate = (*gates_)[layer.block.layer];
    const std::int64_t n = layer.block.n_new;
    const Activations projected = buffer_.get(DType::f32, n, gate.projection.out());
    gate.projection(layer.block.hidden, projected);
    constexpr std::int64_t kStretch = 64;
    const std::int64_t n_stretches = (n + kStretch - 1) / kStretch;
    parallel_for(layer.n_kv_heads() * n_stretches, [&](std::int64_t item) {
      const std::int64_t h = item / n_stretches;
      const std::span<float> carried = layer.carried(h, 0);
      float* newest = carried.data() + static_cast<std::int64_t>(carried.size()) - n;
      const std::int64_t end = std::min(n, (item % n_stretches + 1) * kStretch);
      for (std::int64_t t = item % n_stretches * kStretch; t < end; ++t) {
        newest[t] = value_of(gate, projected.as_float().row(t), h, layer.block.config);
      }
    });
  }

  void compress_context(const ContextView& context) override {
    // 1 is what a gate's value cannot pass.
    std::vector<Scores> scores = carried_scores(context, 0);
    const std::int64_t n = context.budget.n_seen;
    const std::int64_t window =
        n < kLongText ? std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(n) * window_ratio_))
                      : window_size_;
    for (std::size_t l = 0; l < scores.size(); ++l) {
      for (std::size_t h = 0; h < scores[l].size(); ++h) {
        const KVHead& head = context.cache.head(static_cast<std::int64_t>(l), static_cast<std::int64_t>(h));
        auto& row = scores[l][h];
        std::fill(row.begin(), row.begin() + first_entry_from(head, n_sink_), 1.0f);
        std::fill(row.begin() + first_entry_from(head, n - window), row.end(), 1.0f);
      }
    }
    keep_best(context, scores, layerwise_);
  }

 private:
  static Gate read(const TrainedFile& file, std::int64_t layer, const ModelConfig& config) {
    const auto name = [&](const char* part) { return fmt::format("layers.{}.{}", layer, part); };
    const auto& norm_shape = file.shape(name("q_norm.weight"));
    const auto& base_shape = file.shape(name("k_base"));
    if (norm_shape.size() != 1 || base_shape.size() != 4) {
      file.complain(
          fmt::format("{} must be a vector and {} have four dimensions", name("q_norm.weight"), name("k_base")));
    }
    const std::int64_t width = norm_shape[0];
    const std::int64_t n_base = base_shape[2];
    std::vector<float> weight = file.tensor(name("q_proj.weight"), {config.n_heads * width, config.hidden_size});
    const std::vector<float> keys = file.tensor(name("k_proj.weight"), {config.n_kv_heads * width, config.hidden_size});
    weight.insert(weight.end(), keys.begin(), keys.end());
    std::vector<float> bias = file.tensor(name("q_proj.bias"), {config.n_heads * width});
    bias.resize(bias.size() + static_cast<std::size_t>(config.n_kv_heads * width), 0.0f);
    return {LazyLinear(std::move(weight), std::move(bias), config.hidden_size, Activation::none),
            file.tensor(name("q_norm.weight"), {width}),
            file.tensor(name("k_norm.weight"), {width}),
            file.tensor(name("k_base"), {config.n_kv_heads, 1, n_base, width}),
            file.tensor(name("b"), {config.n_kv_heads, 1, config.group_size()}),
            n_base};
  }

  /// x / sqrt(mean(x^2) + eps) * weight
  static void normalize(const float* x, const std::vector<float>& weight, std::span<float> to) {
    const std::span<const float> row(x, to.size());
    const float factor = 1.0f / std::sqrt(dot(row, row) / static_cast<float>(to.size()) + kNormEps);
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = x[i] * factor * weight[i];
  }

  /// The mean over the group of 1 / (1 + sum over base keys of exp(their logit - the token's)).
  static float value_of(const Gate& gate, const float* projected, std::int64_t kv_head, const ModelConfig& config) {
    const std::size_t width = gate.query_weight.size();
    const std::int64_t group = config.group_size();
    const auto row = [&](std::int64_t i) { return projected + i * static_cast<std::int64_t>(width); };
    thread_local AlignedVector<float> query, key;
    query.resize(width);
    key.resize(width);
    normalize(row(config.n_heads + kv_head), gate.key_weight, key);
    const float scale = 1.0f / std::sqrt(static_cast<float>(width));
    float sum = 0;
    for (std::int64_t g = 0; g < group; ++g) {
      const std::int64_t h = kv_head * group + g;
      normalize(row(h), gate.query_weight, query);
      const float own = dot(key, query) * scale + gate.offsets[h];
      float others = 0;
      const float* base = gate.base.data() + kv_head * gate.n_base * static_cast<std::int64_t>(width);
      for (std::int64_t s = 0; s < gate.n_base; ++s, base += width) {
        others += std::exp(dot({base, width}, query) * scale - own);
      }
      sum += 1.0f / (1.0f + others);
    }
    return sum / static_cast<float>(group);
  }

  std::string file_;
  bool layerwise_ = false;
  std::int64_t n_sink_ = 4;
  std::int64_t window_size_ = 4096;
  double window_ratio_ = 0.02;
  std::shared_ptr<std::vector<Gate>> gates_;  // shared by copies
  ActivationBuffer buffer_;
};

}  // namespace

const PressEntry kFastKVzipPress = {
    "fastkvzip",
    "keeps the tokens whose hidden states a trained gate scores highest, over all layers and heads",
    "https://arxiv.org/abs/2601.17668",
    "hidden states, trained gates",
    make_press<FastKVzip>,
    "KVzip's scores need a second pass over the text. A small gate per layer was trained to predict them from the "
    "hidden state of the token when it arrives: its key competes with learned keys for the attention of the query.",
    "s_j = mean over the group of 1 / (1 + Σ_s exp((b_s·q_j - k_j·q_j)/√16 - b)), q_j and k_j: normed projections of "
    "x_j; the first n_sink and the last tokens (2 % of the text) are kept",
    "If gates are published for the model: approximates KVzip without a second prefill."};

}  // namespace kvpress
