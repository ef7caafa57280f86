// An example of a press: keeps the tokens with the largest values, and always the newest. s_j = ||v_j||.
#include <algorithm>
#include <cmath>

#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/parameters.h"
#include "kvpress/press/plugin.h"

namespace kvpress {
namespace {

class ValueNorm : public Scorer<ValueNorm> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.integer("n_recent", n_recent_, 0, "last tokens that are always kept");
  }

  void score(const LayerView& layer, Scores& scores) override {
    for_each_stretch(layer, Rows::values, [&](std::int64_t h, std::int64_t first, std::int64_t n, const float* rows) {
      const auto d = static_cast<std::size_t>(layer.block.config.head_dim);
      for (std::int64_t j = 0; j < n; ++j) {
        const std::span value(rows + static_cast<std::size_t>(j) * d, d);
        scores[static_cast<std::size_t>(h)][static_cast<std::size_t>(first + j)] = std::sqrt(dot(value, value));
      }
    });
    const float forced = above_all(scores);
    for (auto& row : scores) std::fill_n(row.rbegin(), std::min(n_recent_, std::ssize(row)), forced);
  }

 private:
  std::int64_t n_recent_ = 8;
};

}  // namespace

extern const PressEntry kValueNormPress;
const PressEntry kValueNormPress = {"value_norm",
                                    "keeps the tokens with the largest values, and the newest",
                                    "",
                                    "values",
                                    make_press<ValueNorm>,
                                    "A token contributes its weight times its value to the output of attention. "
                                    "Small values contribute little, whatever their weight.",
                                    "s_j = ‖v_j‖; the last n_recent tokens are kept",
                                    "As an example of a press."};

}  // namespace kvpress

KVPRESS_PLUGIN(&kvpress::kValueNormPress)
