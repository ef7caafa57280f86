// KVzap (https://arxiv.org/abs/2601.07891): a small model reads each token's hidden state and predicts the logarithm of
// its KVzip+ score for every KV head of the layer. Scores are made once, when the token comes, and carried beside it.
#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"
#include "kvpress/press/kit/trained_file.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/lazy_linear.h"

namespace kvpress {
namespace {

constexpr std::array<std::string_view, 2> kModelTypes = {"mlp", "linear"};

class KVzap : public Scorer<KVzap> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.choice("model_type", model_type_, kModelTypes, "the model that predicts the scores");
    visitor.file("file", file_,
                 "safetensors file of an nvidia/KVzap-* model, or made by kvpress calibrate kvzap_linear");
  }
  PressNeeds needs() const override { return {.every_block = true, .n_carried = 1}; }

  void prepare(const PressSetup& setup) override {
    const ModelConfig& config = setup.config;
    const TrainedFile file("press kvzap", "file", "kvzap_linear", file_, setup);
    const bool mlp = model_type_ == "mlp";
    if (mlp && !file.has("layers.0.0.weight") && file.has("layers.0.weight")) {
      fail_usage("kvzap: {} contains a linear model; use model_type=linear", file_);
    }
    if (!mlp && !file.has("layers.0.weight") && file.has("layers.0.0.weight")) {
      fail_usage("kvzap: {} contains a model of two layers; use model_type=mlp", file_);
    }
    if (file.has(fmt::format("layers.{}.{}weight", config.n_layers, mlp ? "0." : ""))) {
      file.complain(fmt::format("{} is for more than the model's {} layers", file_, config.n_layers));
    }
    layers_ = std::make_shared<std::vector<std::vector<LazyLinear>>>();
    for (std::int64_t l = 0; l < config.n_layers; ++l) {
      const std::string name = fmt::format("layers.{}", l);
      auto& products = layers_->emplace_back();
      if (!mlp) {
        products.push_back(read(file, name, config.n_kv_heads, config.hidden_size, Activation::none));
        continue;
      }
      const auto& shape = file.shape(name + ".0.weight");
      const std::int64_t hidden = shape.empty() ? 0 : shape[0];
      products.push_back(read(file, name + ".0", hidden, config.hidden_size, Activation::gelu_erf));
      products.push_back(read(file, name + ".2", config.n_kv_heads, hidden, Activation::none));
    }
  }

  void observe(const LayerView& layer) override {
    if (layers_ == nullptr) fail("kvzap: its file has not been read");
    const std::int64_t n = layer.block.n_new;
    Activations x = layer.block.hidden;
    const auto& products = (*layers_)[layer.block.layer];
    for (std::size_t i = 0; i < products.size(); ++i) {
      LazyLinear& product = (*layers_)[layer.block.layer][i];
      const bool last = i + 1 == products.size();
      const Activations y = buffers_[i].get(last ? DType::f32 : x.type, n, product.out());
      product(x, y);
      x = y;
    }
    const Matrix<const float> predicted = x.as_float();
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      const std::span<float> carried = layer.carried(h, 0);
      float* newest = carried.data() + static_cast<std::int64_t>(carried.size()) - n;
      for (std::int64_t t = 0; t < n; ++t) newest[t] = predicted.row(t)[h];
    }
  }

  void score(const LayerView& layer, Scores& scores) override {
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      const std::span<const float> carried = layer.carried(h, 0);
      std::copy(carried.begin(), carried.end(), scores[h].begin());
    }
  }

 private:
  static LazyLinear read(const TrainedFile& file, const std::string& name, std::int64_t out, std::int64_t in,
                         Activation activation) {
    return {file.tensor(name + ".weight", {out, in}), file.tensor(name + ".bias", {out}), in, activation};
  }

  std::string model_type_ = "mlp";
  std::string file_;
  std::shared_ptr<std::vector<std::vector<LazyLinear>>> layers_;  // one product a layer, or two; shared by copies
  std::array<ActivationBuffer, 2> buffers_;
};

}  // namespace

const PressEntry kKVzapPress = {
    "kvzap",
    "keeps the tokens whose hidden states a small trained model scores highest",
    "https://arxiv.org/abs/2601.07891",
    "hidden states, a published model or one made by kvpress calibrate kvzap_linear",
    make_press<KVzap>,
    "The KVzip score of a token (how much a later reading of the text needs it, which takes a second pass) can be "
    "predicted from its hidden state. A linear model or a small network per layer predicts it when the token arrives.",
    "s_j = W x_j + b, or W₂ gelu(W₁ x_j + b₁) + b₂: the predicted logarithm of the KVzip+ score; x_j: the input of "
    "attention",
    "During prefill and decode, inside dms, which compares its scores with one threshold for all texts."};

}  // namespace kvpress
