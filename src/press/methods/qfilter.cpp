// Q-Filters (https://arxiv.org/abs/2503.02812): the queries of a head lie mostly along one direction. A key's component
// along it tells the attention it will get. The published filters point against the queries: s_j = -<f, k_j>.
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/kit/trained_file.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"

namespace kvpress {
namespace {

class QFilter : public Scorer<QFilter> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.file("file", file_, "safetensors file with q_filters [layers, KV heads, head size], as in nthngdy/*_qfilt");
  }

  void prepare(const PressSetup& setup) override {
    const ModelConfig& config = setup.config;
    const TrainedFile file("press qfilter", "file", "qfilter", file_, setup);
    filters_ = std::make_shared<const std::vector<float>>(
        file.tensor("q_filters", {config.n_layers, config.n_kv_heads, config.head_dim}));
  }

  void score(const LayerView& layer, Scores& scores) override {
    if (filters_ == nullptr) fail("qfilter: its file has not been read");
    const auto d = static_cast<std::size_t>(layer.block.config.head_dim);
    const auto first_head = static_cast<std::size_t>(layer.block.layer * layer.n_kv_heads());
    for_each_key(layer, [&](std::int64_t h, std::int64_t j, std::span<const float> key) {
      const auto at = static_cast<std::size_t>(h);
      const std::span<const float> filter(filters_->data() + (first_head + at) * d, d);
      scores[at][j] = -dot(filter, key);
    });
  }

 private:
  std::string file_;
  std::shared_ptr<const std::vector<float>> filters_;  // [layers, KV heads, head_dim]
};

}  // namespace

const PressEntry kQFilterPress = {
    "qfilter",
    "keeps the tokens whose keys point in the direction of the model's queries",
    "https://arxiv.org/abs/2503.02812",
    "keys, filters made by kvpress calibrate qfilter",
    make_press<QFilter>,
    "The queries of a head lie mostly along one direction, whatever the text. The component of a key along it predicts "
    "the attention it will receive, without any query.",
    "s_j = -⟨f, k_j⟩, f of the layer and KV head: the first right singular vector of its queries, with "
    "the sign opposite to them",
    "When scoring must cost almost nothing and a text for calibration is available."};

}  // namespace kvpress
