// One run: a model, texts, a protocol and a press; what was scored, what the cache held, and the time of each phase.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/engine/compression_settings.h"
#include "kvpress/eval/protocol.h"
#include "kvpress/eval/timeline.h"
#include "kvpress/model/model.h"

namespace kvpress {

/// A text as the model reads it.
struct TokenizedText {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> n_bytes;  ///< bytes of text that each id stands for
  std::string name = {};              ///< for reports: the file's path, or which row it is
};

/// A window, segment or whole text, as it came out.
struct SegmentResult {
  std::int64_t text = 0;         ///< index of the text
  std::int64_t first_token = 0;  ///< in the text
  std::int64_t n_tokens = 0;
  std::int64_t first_scored = 0;  ///< index into RunResult::nll
  std::int64_t n_scored = 0;
  double cache_tokens = 0;      ///< mean over layers and KV heads when compressing ended
  std::size_t cache_bytes = 0;  ///< allocated then
};

struct PhaseTimes {
  double prefill = 0;   ///< forward passes that fill the cache, without the press
  double compress = 0;  ///< the press: gathering, scoring, selecting, evicting
  double score = 0;     ///< the loss; for continuation and decode also the passes over the rest
  double total() const { return prefill + compress + score; }
};

struct RunResult {
  std::vector<float> nll;             ///< of each scored token, in the order of the text
  std::vector<float> log_sums;        ///< the logarithm of each one's softmax denominator
  std::vector<std::int32_t> targets;  ///< the scored tokens
  std::int64_t n_bytes = 0;           ///< bytes of text they stand for
  AlignedVector<float> hidden;        ///< [n_scored, hidden_size]: what predicted them, to compare runs by
  std::vector<SegmentResult> segments;
  /// Of the segment that held the most tokens when its compressing ended.
  double cache_tokens = 0;
  std::size_t cache_bytes = 0;
  std::optional<std::int64_t> budget_tokens;  ///< what a fixed budget came to
  std::size_t cache_bytes_peak = 0;           ///< the most ever allocated, before compression included
  std::size_t peak_rss_bytes = 0;
  CacheFormat cache_format = {};
  PhaseTimes times;
  Timeline timeline;  ///< empty unless the settings ask for it

  double mean_nll() const;
  double perplexity() const;
  double bits_per_byte() const;
};

/// The perplexity of a stretch of places.
struct CurvePoint {
  std::int64_t from = 0;  ///< first place, counted from the beginning of the window, segment or text
  std::int64_t n_scored = 0;
  double perplexity = 0;
};
/// Stretch by stretch of `step` places, all windows, segments or texts together: whether a run goes bad with length.
/// Stretches without a scored token are left out.
std::vector<CurvePoint> perplexity_curve(const RunResult& run, std::int64_t step);

struct RunSettings {
  ProtocolSettings protocol;
  CompressionSettings compression;
  bool timeline = false;  ///< whether memory is recorded along the run
};

/// Called with the number of tokens just done.
using OnProgress = std::function<void(std::int64_t)>;

/// Scores the texts, each window, segment or text in a sequence of its own. Throws UsageError when there is nothing to
/// score.
RunResult run_protocol(const Model& model, const std::vector<TokenizedText>& texts, const RunSettings& settings,
                       const OnProgress& on_progress = {});

/// Tokens that run_protocol() reports as progress in all.
std::int64_t progress_total(const std::vector<TokenizedText>& texts);

}  // namespace kvpress
