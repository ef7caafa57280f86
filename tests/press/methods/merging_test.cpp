// Merging against its definition in plain loops, on heads that keep different numbers of entries.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "kvpress/eval/experiment.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/registry.h"
#include "test_data.h"

namespace kvpress {
namespace {

using Rows = std::vector<std::vector<double>>;

Rows rows(const KVHead& head, std::int64_t d, bool keys) {
  Rows all;
  for (std::int64_t j = 0; j < head.size(); ++j) {
    std::vector<float> row(static_cast<std::size_t>(d));
    if (keys) {
      head.keys_as_float(j, 1, row.data());
    } else {
      head.values_as_float(j, 1, row.data());
    }
    all.emplace_back(row.begin(), row.end());
  }
  return all;
}

double product(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// The kept rows' values after merging.
Rows merged_values(const Rows& keys, const Rows& values, const std::vector<std::size_t>& kept, double threshold,
                   double fraction) {
  std::vector<double> best;
  std::vector<std::size_t> evicted, target;
  for (std::size_t e = 0; e < keys.size(); ++e) {
    if (std::find(kept.begin(), kept.end(), e) != kept.end()) continue;
    double most = -2;
    std::size_t at = 0;
    for (std::size_t t = 0; t < kept.size(); ++t) {
      const auto& other = keys[kept[t]];
      const double cosine = product(keys[e], other) / std::sqrt(product(keys[e], keys[e]) * product(other, other));
      if (cosine > most) {
        most = cosine;
        at = t;
      }
    }
    evicted.push_back(e);
    best.push_back(most);
    target.push_back(at);
  }
  std::vector<double> sorted = best;
  std::sort(sorted.begin(), sorted.end());
  const double least =
      sorted[static_cast<std::size_t>(std::ceil((1 - fraction) * static_cast<double>(sorted.size() - 1)))];
  std::vector<double> weights(kept.size(), 1.0);
  Rows result;
  for (const std::size_t t : kept) result.push_back(values[t]);
  for (std::size_t i = 0; i < evicted.size(); ++i) {
    if (best[i] < threshold || best[i] < least) continue;
    const auto& value = values[evicted[i]];
    const double own = std::sqrt(product(value, value));
    const auto& to = values[kept[target[i]]];
    const double weight = std::max(best[i], 0.0) * own / (own + std::sqrt(product(to, to)));
    for (std::size_t c = 0; c < value.size(); ++c) result[target[i]][c] += weight * value[c];
    weights[target[i]] += weight;
  }
  for (std::size_t t = 0; t < kept.size(); ++t) {
    for (double& value : result[t]) value /= weights[t];
  }
  return result;
}

TEST(Merging, FoldsWhatGoesIntoTheMostSimilarThatStays) {
  const auto files =
      std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / "llama-gqa").string()));
  Model model(files, {false, DType::f32});
  const auto tokens = test::References("forward/llama-gqa.safetensors").ints("tokens");
  const ModelConfig& config = model.config();
  const auto run = [&](const std::string& text) {
    const NamedPress press = parse_press(text);
    Compressor compressor(press.plan({text == "no_press" ? 0.0 : 0.6, {}}));
    KVCache cache = compressor.make_cache(model, DType::f32);
    std::vector<float> last(static_cast<std::size_t>(config.hidden_size));
    compressor.forward(model, std::span(tokens).first(144), cache, {last.data(), 1, config.hidden_size});
    return cache;
  };
  const KVCache full = run("no_press");
  for (const auto& [text, threshold, fraction] :
       {std::tuple{"merging(adakv(knorm))", 0.0, 1.0},
        std::tuple{"merging(adakv(knorm), similarity_threshold=0.2, merge_fraction=0.5)", 0.2, 0.5},
        std::tuple{"merging(adakv(knorm), similarity_threshold=0.35, merge_fraction=0.9)", 0.35, 0.9}}) {
    const KVCache merged = run(text);
    double moved = 0;
    for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {
      const auto positions = merged.head(0, h).positions();
      const std::vector<std::size_t> kept(positions.begin(), positions.end());
      const Rows before = rows(full.head(0, h), config.head_dim, false);
      const Rows expected =
          merged_values(rows(full.head(0, h), config.head_dim, true), before, kept, threshold, fraction);
      const Rows got = rows(merged.head(0, h), config.head_dim, false);
      for (std::size_t t = 0; t < kept.size(); ++t) {
        for (std::size_t c = 0; c < got[t].size(); ++c) {
          ASSERT_NEAR(got[t][c], expected[t][c], 1e-5) << text << " head " << h << ", entry " << t;
          moved = std::max(moved, std::abs(got[t][c] - before[kept[t]][c]));
        }
      }
    }
    EXPECT_GT(moved, 1e-3) << text;
  }
}

}  // namespace
}  // namespace kvpress
