// Compares a run with the run of the full cache on the same tokens.
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
  double top1_agreement = 0;               ///< share of tokens for which both have the same most likely next token
  /// The means of each text, in the order of scored_texts() (per_text.h).
  std::vector<double> delta_nll_by_text;
  std::vector<double> kl_by_text;
};

/// Both runs must have scored the same tokens. Computes the logits of both runs again, block by block. `seed` is that
/// of the bootstrap.
Comparison compare_runs(const Model& model, const RunResult& full, const RunResult& compressed, std::uint64_t seed);

/// The 95 % interval of the mean by block bootstrap: percentiles of 2,000 draws of blocks of `block` neighbouring
/// values. Blocks are used because neighbouring tokens are not independent. Returns the mean twice for fewer than two
/// blocks.
std::array<double, 2> block_bootstrap_ci95(std::span<const double> values, std::size_t block, std::uint64_t seed);

}  // namespace kvpress
