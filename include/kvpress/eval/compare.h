// Compares a run with the run of the full cache on the same tokens, and runs with each other.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/eval/per_text.h"
#include "kvpress/eval/run.h"

namespace kvpress {

/// Means over units that count as independent samples: each text where there are several, else blocks of 64 consecutive
/// scored tokens of the one text (the last has 32 to 95). Runs on the same tokens have the same units, so their
/// differences can be taken unit by unit.
struct UnitMeans {
  bool of_texts = false;
  std::vector<double> delta_nll;  ///< compressed minus full, in nats
  std::vector<double> kl;         ///< from the full cache, in nats
};

struct Comparison {
  double delta_nll = 0;                    ///< compressed minus full, mean over tokens, in nats
  std::array<double, 2> delta_nll_ci95{};  ///< its 95 % interval
  double kl_full = 0;                      ///< mean KL(full || compressed), in nats
  std::array<double, 2> kl_full_ci95{};    ///< its 95 % interval
  double top1_agreement = 0;               ///< share of tokens for which both have the same most likely next token
  std::vector<float> kl_by_token;          ///< of each scored token
  /// The means of each text, in the order of scored_texts() (per_text.h).
  std::vector<double> delta_nll_by_text;
  std::vector<double> kl_by_text;
  UnitMeans units;
};

/// Both runs must have scored the same tokens. Computes the logits of both runs again, block by block. `seed` is that
/// of the bootstrap. Throws NotFinite if a divergence is not finite.
Comparison compare_runs(const Model& model, const RunResult& full, const RunResult& compressed, std::uint64_t seed);

/// What a run has more than another, unit by unit: means and their 95 % intervals by Student's t.
struct PairedDifference {
  OverTexts delta_nll, kl;
  bool has_interval = false;  ///< false for a single unit: nothing can be said then
  /// Whether 0 is in the interval, so that neither is better as far as these texts can tell.
  static bool tied(const OverTexts& it) { return it.ci95[0] <= 0 && it.ci95[1] >= 0; }
};

/// `run` minus `other`. Both have the same units: false for runs on other texts, else Error.
bool same_units(const UnitMeans& run, const UnitMeans& other);
PairedDifference paired_difference(const UnitMeans& run, const UnitMeans& other);

/// The 95 % interval of the mean by block bootstrap: percentiles of 2,000 draws of blocks of `block` neighbouring
/// values. Blocks are used because neighbouring tokens are not independent. Returns the mean twice for fewer than two
/// blocks.
std::array<double, 2> block_bootstrap_ci95(std::span<const double> values, std::size_t block, std::uint64_t seed);

}  // namespace kvpress
