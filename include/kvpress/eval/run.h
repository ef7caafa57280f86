// A run: scores texts with a model, a protocol and a press. Its result has losses, cache sizes and times.
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

/// A tokenized text.
struct TokenizedText {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> n_bytes;  ///< bytes of text per id
  std::string name = {};              ///< for reports: the path of the file, or the row
};

/// The result of a window, a segment or a whole text.
struct SegmentResult {
  std::int64_t text = 0;         ///< index of the text
  std::int64_t first_token = 0;  ///< in the text
  std::int64_t n_tokens = 0;
  std::int64_t first_scored = 0;  ///< index into RunResult::nll
  std::int64_t n_scored = 0;
  double cache_tokens = 0;      ///< after the last compression, mean over layers and KV heads
  std::size_t cache_bytes = 0;  ///< allocated after the last compression
};

/// Seconds.
struct PhaseTimes {
  double prefill = 0;   ///< forward passes that fill the cache, without the press
  double compress = 0;  ///< the press: gathering, scoring, selecting, evicting
  double score = 0;     ///< the loss; for continuation and decode also the passes over the rest
  double total() const { return prefill + compress + score; }
};

struct RunResult {
  std::vector<float> nll;             ///< of each scored token, in nats
  std::vector<float> log_sums;        ///< logarithm of the softmax denominator of each scored token
  std::vector<std::int32_t> targets;  ///< the scored tokens
  std::int64_t n_bytes = 0;           ///< bytes of text of the scored tokens
  AlignedVector<float> hidden;        ///< [n_scored, hidden_size]: final states that predicted them
  std::vector<SegmentResult> segments;
  /// The cache of the segment with the most tokens after its last compression.
  double cache_tokens = 0;
  std::size_t cache_bytes = 0;
  std::optional<std::int64_t> budget_tokens;  ///< a fixed budget, in tokens per head
  std::size_t cache_bytes_peak = 0;           ///< maximum, also before compression
  std::size_t peak_rss_bytes = 0;
  CacheFormat cache_format = {};
  PhaseTimes times;
  Timeline timeline;  ///< empty unless requested

  double mean_nll() const;
  double perplexity() const;
  double bits_per_byte() const;
};

/// The perplexity of an interval of positions.
struct CurvePoint {
  std::int64_t from = 0;  ///< first position in the window, segment or text
  std::int64_t n_scored = 0;
  double perplexity = 0;
};
/// The perplexity per interval of `step` positions, over all windows, segments or texts. Shows how quality changes with
/// length. Intervals without scored tokens are left out.
std::vector<CurvePoint> perplexity_curve(const RunResult& run, std::int64_t step);

struct RunSettings {
  ProtocolSettings protocol;
  CompressionSettings compression;
  bool timeline = false;  ///< record memory along the run
};

/// Called with the number of newly processed tokens.
using OnProgress = std::function<void(std::int64_t)>;

/// Scores the texts. Each window, segment or text has its own sequence. Throws UsageError if no token can be scored.
RunResult run_protocol(const Model& model, const std::vector<TokenizedText>& texts, const RunSettings& settings,
                       const OnProgress& on_progress = {});

/// The total number of tokens that run_protocol() reports as progress.
std::int64_t progress_total(const std::vector<TokenizedText>& texts);

}  // namespace kvpress
