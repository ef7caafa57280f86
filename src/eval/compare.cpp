#include "kvpress/eval/compare.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/eval/per_text.h"
#include "ops/output_loss.h"

namespace kvpress {
namespace {

/// Ctrl-C must end a run within a second.
constexpr std::int64_t kRowsBetweenInterrupts = 512;
constexpr std::size_t kBootstrapBlock = 64;
constexpr int kDraws = 2000;

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Means of blocks of neighbouring values; a rest of less than half a block belongs to the one before.
std::vector<double> block_means(std::span<const double> values) {
  std::vector<double> means;
  for (std::size_t first = 0; first < values.size();) {
    const std::size_t left = values.size() - first;
    const std::size_t n = left < kBootstrapBlock + kBootstrapBlock / 2 ? left : kBootstrapBlock;
    means.push_back(mean(values.subspan(first, n)));
    first += n;
  }
  return means;
}

std::vector<double> differences(std::span<const double> a, std::span<const double> b) {
  std::vector<double> result(a.size());
  std::transform(a.begin(), a.end(), b.begin(), result.begin(), std::minus<>());
  return result;
}

}  // namespace

std::array<double, 2> block_bootstrap_ci95(std::span<const double> values, std::size_t block, std::uint64_t seed) {
  std::vector<std::pair<double, double>> blocks;  // sum, count
  for (std::size_t first = 0; first < values.size(); first += block) {
    const auto part = values.subspan(first, std::min(block, values.size() - first));
    blocks.emplace_back(std::accumulate(part.begin(), part.end(), 0.0), static_cast<double>(part.size()));
  }
  if (blocks.size() < 2) return {mean(values), mean(values)};
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::size_t> pick(0, blocks.size() - 1);
  std::vector<double> means;
  for (int draw = 0; draw < kDraws; ++draw) {
    double sum = 0;
    double count = 0;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const auto& [block_sum, block_count] = blocks[pick(random)];
      sum += block_sum;
      count += block_count;
    }
    means.push_back(sum / count);
  }
  std::sort(means.begin(), means.end());
  return {means[kDraws * 25 / 1000], means[kDraws * 975 / 1000 - 1]};
}

bool same_units(const UnitMeans& run, const UnitMeans& other) {
  return run.of_texts == other.of_texts && run.kl.size() == other.kl.size() && !run.kl.empty();
}

PairedDifference paired_difference(const UnitMeans& run, const UnitMeans& other) {
  if (!same_units(run, other)) fail("compared runs scored different tokens");
  return {over_texts(differences(run.delta_nll, other.delta_nll)), over_texts(differences(run.kl, other.kl)),
          run.kl.size() > 1};
}

Comparison compare_runs(const Model& model, const RunResult& full, const RunResult& compressed, std::uint64_t seed) {
  if (full.targets != compressed.targets) fail("compared runs scored different tokens");
  const auto n = static_cast<std::int64_t>(full.nll.size());
  const std::int64_t hidden = model.config().hidden_size;
  std::vector<float> kl(full.nll.size());
  std::vector<std::uint8_t> same_top(full.nll.size());
  const Matrix<const float> p(full.hidden.data(), n, hidden);
  const Matrix<const float> q(compressed.hidden.data(), n, hidden);
  for (std::int64_t at = 0; at < n; at += kRowsBetweenInterrupts) {
    check_interrupt();
    const std::int64_t rows = std::min(kRowsBetweenInterrupts, n - at);
    const auto part = [&](auto& values) {
      return std::span(values).subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(rows));
    };
    output_compare({p.block(at, rows), part(full.log_sums)}, {q.block(at, rows), part(compressed.log_sums)},
                   model.output(), part(kl), part(same_top));
  }
  for (std::size_t i = 0; i < kl.size(); ++i) {
    if (std::isfinite(kl[i])) continue;
    const TokenPlace place = places_of(full)[i];
    throw NotFinite(place.position, full.targets[i],
                    fmt::format("the distributions that predict it in text {} have no finite divergence", place.text),
                    remedy_for(model.dtype()));
  }

  std::vector<double> deltas(full.nll.size());
  for (std::size_t i = 0; i < deltas.size(); ++i) {
    deltas[i] = static_cast<double>(compressed.nll[i]) - static_cast<double>(full.nll[i]);
  }
  const std::vector<double> divergences(kl.begin(), kl.end());
  Comparison result;
  result.delta_nll = mean(deltas);
  result.delta_nll_ci95 = block_bootstrap_ci95(deltas, kBootstrapBlock, seed);
  result.kl_full = std::accumulate(kl.begin(), kl.end(), 0.0) / static_cast<double>(n);
  result.kl_full_ci95 = block_bootstrap_ci95(divergences, kBootstrapBlock, seed);
  result.top1_agreement = static_cast<double>(std::count(same_top.begin(), same_top.end(), 1)) / static_cast<double>(n);
  for (const ScoredText& it : scored_texts(compressed)) {
    const auto first_kl = kl.begin() + static_cast<std::ptrdiff_t>(it.first);
    result.delta_nll_by_text.push_back(mean(std::span(deltas).subspan(it.first, it.count)));
    result.kl_by_text.push_back(std::accumulate(first_kl, first_kl + static_cast<std::ptrdiff_t>(it.count), 0.0) /
                                static_cast<double>(it.count));
  }
  result.units.of_texts = result.kl_by_text.size() > 1;
  result.units.delta_nll = result.units.of_texts ? result.delta_nll_by_text : block_means(deltas);
  result.units.kl = result.units.of_texts ? result.kl_by_text : block_means(divergences);
  result.kl_by_token = std::move(kl);
  return result;
}

}  // namespace kvpress
