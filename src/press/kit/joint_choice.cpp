#include "press/kit/joint_choice.h"

#include <algorithm>

#include "ops/rowwise.h"

namespace kvpress {
namespace {

bool same_tokens(const LayerView& layer) {
  const auto first = layer.head(0).positions();
  for (std::int64_t h = 1; h < layer.n_kv_heads(); ++h) {
    const auto positions = layer.head(h).positions();
    if (!std::equal(first.begin(), first.end(), positions.begin(), positions.end())) return false;
  }
  return true;
}

}  // namespace

Kept choose_jointly(const LayerView& layer, const Scores& scores, const ChooseEntries& choose) {
  Kept kept;
  if (!same_tokens(layer)) {
    for (const auto& row : scores) kept.push_back(choose(row));
    return kept;
  }
  AlignedVector<float> sum = scores.front();
  for (std::size_t h = 1; h < scores.size(); ++h) {
    add(scores[h].data(), sum.data(), static_cast<std::int64_t>(sum.size()));
  }
  kept.assign(scores.size(), choose(sum));
  return kept;
}

}  // namespace kvpress
