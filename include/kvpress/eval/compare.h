// A run against the full cache's, on the same tokens.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/eval/run.h"

namespace kvpress {

struct Comparison {
  double delta_nll = 0;                    ///< compressed minus full, mean over tokens, in nats
  std::array<double, 2> delta_nll_ci95{};  ///< its 95 % interval
  double kl_full = 0;                      ///< mean KL(full || compressed), in nats
  double top1_agreement = 0;               ///< share of tokens where both rank the same word first
  /// The same means for each text, in the order of scored_texts() (per_text.h).
  std::vector<double> delta_nll_by_text;
  std::vector<double> kl_by_text;
};

/// Both runs must have scored the same tokens. Goes through the output product once more for each run.
Comparison compare_runs(const Model& model, const RunResult& full, const RunResult& compressed, std::uint64_t seed);

/// The 95 % interval of the mean by bootstrap over blocks of `block` neighbouring values (percentiles of 2,000 draws):
/// neighbouring tokens share their context, so they are not independent. With fewer than two blocks: the mean twice.
std::array<double, 2> block_bootstrap_ci95(std::span<const double> values, std::size_t block, std::uint64_t seed);

}  // namespace kvpress
