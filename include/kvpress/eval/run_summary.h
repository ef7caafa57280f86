// The numbers of a run. Documents, tables and sentences are made from them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/eval/experiment.h"
#include "kvpress/eval/experiment_info.h"
#include "kvpress/eval/per_text.h"

namespace kvpress {

/// The comparison with the full cache.
struct Quality {
  double delta_nll = 0;                    ///< compressed minus full, mean over tokens, in nats
  std::array<double, 2> delta_nll_ci95{};  ///< its 95 % interval
  double kl_full = 0;                      ///< mean KL(full || compressed), in nats
  std::array<double, 2> kl_full_ci95{};    ///< its 95 % interval
  double top1_agreement = 0;               ///< share of tokens for which both have the same most likely next token
  UnitMeans units;                         ///< for paired comparisons with other runs
};

/// The numbers of one text.
struct TextSummary {
  std::int64_t text = 0;  ///< its index
  std::string name;
  std::size_t n_scored = 0;
  double perplexity = 0;
  double mean_nll = 0;
  double delta_nll = 0;  ///< for a compared run
  double kl_full = 0;
};

struct RunSummary {
  std::string press;
  double compression_ratio = 0;  ///< asked for
  double evicted_share = 0;      ///< measured: RunResult::evicted_share()
  double perplexity = 0;
  double mean_nll = 0;
  std::size_t n_scored = 0;
  double bits_per_byte = 0;
  std::optional<Quality> quality;  ///< empty for the run of the full cache
  std::vector<CurvePoint> curve;   ///< perplexity by position; empty if all positions are in one interval
  double cache_tokens = 0;
  std::size_t cache_bytes = 0;
  std::size_t cache_bytes_peak = 0;
  std::size_t peak_rss_bytes = 0;
  CacheFormat cache_format = {};
  PhaseTimes times;
  bool prefill_only = false;  ///< runtime() includes only prefill and compression
  double runtime() const { return prefill_only ? times.prefill + times.compress : times.total(); }

  /// Means over texts; each text has the same weight. Only for two or more texts.
  struct OverAll {
    OverTexts perplexity, mean_nll;
    std::optional<OverTexts> delta_nll, kl_full;
  };
  std::vector<TextSummary> texts;
  std::optional<OverAll> over_texts;
};

RunSummary summary_of(const Outcome& outcome, const ExperimentInfo& info);
/// The summary of the full cache, without a comparison.
RunSummary summary_of_full(const RunResult& run, const ExperimentInfo& info);

}  // namespace kvpress
