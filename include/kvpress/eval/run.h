// A run: scores texts with a model, a protocol and a press. Its result has losses, cache sizes and times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/engine/compression_settings.h"
#include "kvpress/engine/sequence.h"
#include "kvpress/eval/protocol.h"
#include "kvpress/eval/timeline.h"
#include "kvpress/model/model.h"
#include "kvpress/model/not_finite.h"

namespace kvpress {

/// A tokenized text.
struct TokenizedText {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> n_bytes;  ///< bytes of text per id
  std::string name = {};              ///< for reports: the path of the file, or the row
  std::string decoded = {};           ///< the text of the ids, one after the other, n_bytes each

  /// The text of the token at a position; empty beyond the end, or if `decoded` is empty.
  std::string_view token_text(std::int64_t position) const;
  /// An error at a position of a pass that began with token `first` of this text, for readers.
  NotFinite located(const NotFinite& error, std::int64_t first = 0) const;
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
  Sequence::Held held = {};     ///< after the last compression
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

  /// The share of keys and values that was really evicted when compressing ended, over all segments. A press may evict
  /// less or more than it was asked to.
  double evicted_share() const;
  double mean_nll() const;
  double perplexity() const;
  double bits_per_byte() const;
};

/// Where a scored token stands.
struct TokenPlace {
  std::int64_t text = 0;      ///< index of the text
  std::int64_t position = 0;  ///< in the text
};
/// Of all scored tokens, in the order of RunResult::nll.
std::vector<TokenPlace> places_of(const RunResult& run);

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

/// Scores the texts. Each window, segment or text has its own sequence. Throws UsageError if no token can be scored,
/// and NotFinite, which says where, if a loss would not be finite.
RunResult run_protocol(const Model& model, const std::vector<TokenizedText>& texts, const RunSettings& settings,
                       const OnProgress& on_progress = {});

/// The total number of tokens that run_protocol() reports as progress.
std::int64_t progress_total(const std::vector<TokenizedText>& texts);

}  // namespace kvpress
