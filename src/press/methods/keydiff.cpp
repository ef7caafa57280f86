// KeyDiff (https://arxiv.org/abs/2504.15364): keys unlike the average key stay. s_j = -cos(k_j, mean of k / ||k||).
#include <algorithm>
#include <cmath>
#include <vector>

#include "kvpress/press/kit/key_rows.h"
#include "press/entries.h"

namespace kvpress {
namespace {

class KeyDiff : public Scorer<KeyDiff> {
 public:
  void score(const LayerView& layer, Scores& scores) override {
    const auto d = static_cast<std::size_t>(layer.block.config.head_dim);
    const auto n_heads = static_cast<std::size_t>(layer.n_kv_heads());
    std::vector<std::vector<double>> anchors(n_heads, std::vector<double>(d, 0.0));
    // Head by head on one thread: the sum comes out the same whatever the number of threads.
    parallel_for(layer.n_kv_heads(), [&](std::int64_t h) {
      auto& anchor = anchors[h];
      constexpr std::int64_t kRows = 256;
      AlignedVector<float> rows(kRows * d);
      for (std::int64_t first = 0; first < layer.head(h).size(); first += kRows) {
        const std::int64_t n = std::min(kRows, layer.head(h).size() - first);
        layer.head(h).keys_as_float(first, n, rows.data());
        for (std::int64_t j = 0; j < n; ++j) {
          const std::span<const float> key(rows.data() + static_cast<std::size_t>(j) * d, d);
          const float inverse = 1.0f / std::max(std::sqrt(dot(key, key)), 1e-12f);
          for (std::size_t c = 0; c < d; ++c) anchor[c] += static_cast<double>(key[c] * inverse);
        }
      }
      for (double& value : anchor) value /= static_cast<double>(layer.head(h).size());
    });
    std::vector<std::vector<float>> directions;
    for (const auto& anchor : anchors) {
      std::vector<float> direction(anchor.begin(), anchor.end());
      const float inverse = 1.0f / std::max(std::sqrt(dot(direction, direction)), 1e-8f);
      for (float& value : direction) value *= inverse;
      directions.push_back(std::move(direction));
    }
    for_each_key(layer, [&](std::int64_t h, std::int64_t j, std::span<const float> key) {
      const float norm = std::max(std::sqrt(dot(key, key)), 1e-8f);
      scores[h][j] = -dot(key, directions[h]) / norm;
    });
  }
};

}  // namespace

const PressEntry kKeyDiffPress = {"keydiff",
                                  "keeps the tokens whose keys differ most from the average key",
                                  "https://arxiv.org/abs/2504.15364",
                                  "keys",
                                  make_press<KeyDiff>,
                                  "Attention can distinguish keys that point away from the average key. Keeping the "
                                  "most distinct keys preserves the variety of the text, without any query.",
                                  "s_j = -cos(k_j, mean over i of k_i/‖k_i‖)",
                                  "When blocks are compressed as they arrive and later questions are unknown."};

}  // namespace kvpress
