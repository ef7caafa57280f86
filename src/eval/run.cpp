#include "kvpress/eval/run.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "base/counted.h"
#include "eval/evicted.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/timer.h"
#include "kvpress/engine/sequence.h"
#include "ops/output_loss.h"

namespace kvpress {
namespace {

/// Ctrl-C must end a run within a second.
constexpr std::int64_t kRowsBetweenInterrupts = 512;

using Ids = std::span<const std::int32_t>;

/// The windows of a text: [first, first + length), of which the last n_new tokens were in no window before.
struct Window {
  std::int64_t first, length, n_new;
};

std::vector<Window> windows_of(const ProtocolSettings& settings, std::int64_t n) {
  const std::int64_t step = settings.protocol == Protocol::window ? settings.stride : settings.max_length;
  std::vector<Window> windows;
  std::int64_t covered = 0;
  for (std::int64_t first = 0; covered < n; first += step) {
    const std::int64_t end = std::min(first + settings.max_length, n);
    windows.push_back({first, end - first, end - covered});
    covered = end;
  }
  return windows;
}

class Runner {
 public:
  Runner(const Model& model, const RunSettings& settings, const OnProgress& on_progress)
      : model_(model), settings_(settings), on_progress_(on_progress) {
    if (settings.timeline) recorder_.emplace(result_.timeline);
  }

  void run_text(const TokenizedText& text, std::int64_t index) {
    try {
      run_segments(text, index);
    } catch (const NotFinite& error) {
      throw text.located(error, result_.segments.back().first_token);
    }
  }

  RunResult finish() {
    for (const SegmentResult& it : result_.segments) {
      if (it.cache_tokens <= result_.cache_tokens) continue;
      result_.cache_tokens = it.cache_tokens;
      result_.cache_bytes = it.cache_bytes;
    }
    const CacheFormat& format = settings_.compression.cache_format;
    if (format.bits > 0 && !any_quantized_) warn_that_nothing_is_quantized(format, result_.cache_tokens);
    return std::move(result_);
  }

 private:
  void run_segments(const TokenizedText& text, std::int64_t index) {
    const auto n = static_cast<std::int64_t>(text.ids.size());
    text_ = &text;
    switch (settings_.protocol.protocol) {
      case Protocol::window:
      case Protocol::chunked:
        for (const Window& window : windows_of(settings_.protocol, n)) {
          SegmentResult& segment = begin_segment(index, window.first, window.length);
          if (settings_.protocol.protocol == Protocol::window) {
            run_window(window, segment);
          } else {
            run_chunks(window, segment);
          }
        }
        break;
      case Protocol::continuation:
      case Protocol::decode: {
        SegmentResult& segment = begin_segment(index, 0, n);
        run_rest(segment, context_of(settings_.protocol, n));
        break;
      }
    }
  }

  /// For one segment.
  Sequence new_sequence() {
    Sequence sequence(model_, settings_.compression);
    if (recorder_) {
      recorder_->record(Phase::prefill, sequence.cache_bytes());
      sequence.set_pass_watcher([this](PassMoment moment, const KVCache& it) {
        recorder_->record(moment == PassMoment::compressed ? Phase::compress : phase_, it.allocated_bytes());
      });
    }
    return sequence;
  }

  SegmentResult& begin_segment(std::int64_t text, std::int64_t first, std::int64_t length) {
    const auto scored = static_cast<std::int64_t>(result_.nll.size());
    return result_.segments.emplace_back(SegmentResult{text, first, length, scored, 0, 0, 0, {}});
  }

  Ids ids(std::int64_t first, std::int64_t n) const { return {text_->ids.data() + first, static_cast<std::size_t>(n)}; }

  void forward(Sequence& sequence, Ids tokens, Matrix<float> hidden, Phase phase) {
    phase_ = phase;
    if (recorder_) recorder_->add_tokens(static_cast<std::int64_t>(tokens.size()));
    sequence.append(tokens, hidden);
    record(phase, sequence);
  }

  void record(Phase phase, const Sequence& sequence) {
    if (recorder_) recorder_->record(phase, sequence.cache_bytes());
  }

  void end_compressing(const Sequence& sequence, SegmentResult& segment) {
    segment.cache_tokens = sequence.cache_tokens();
    segment.cache_bytes = sequence.cache_bytes();
    segment.held = sequence.held();
    any_quantized_ |= sequence.cache().has_quantized();
  }

  void end_segment(const Sequence& sequence, SegmentResult& segment) {
    segment.n_scored = static_cast<std::int64_t>(result_.nll.size()) - segment.first_scored;
    result_.cache_bytes_peak = std::max(result_.cache_bytes_peak, sequence.peak_bytes());
    result_.budget_tokens = sequence.budget_tokens();
    const SequenceTimes times = sequence.times();
    result_.times.prefill += times.prefill;
    result_.times.compress += times.compress;
    result_.times.score += times.decode;
  }

  void run_window(const Window& window, SegmentResult& segment) {
    Sequence sequence = new_sequence();
    AlignedVector<float> hidden = rows(window.length);
    forward(sequence, ids(window.first, window.length), matrix(hidden), Phase::prefill);
    end_compressing(sequence, segment);
    // The first token of a text has nothing before it that could predict it.
    const std::int64_t first_target = std::max<std::int64_t>(1, window.length - window.n_new);
    score(sequence, matrix(hidden).block(first_target - 1, window.length - first_target), window.first + first_target);
    end_segment(sequence, segment);
    progress(window.n_new);
  }

  void run_chunks(const Window& window, SegmentResult& segment) {
    Sequence sequence = new_sequence();
    AlignedVector<float> hidden = rows(window.length);
    for (std::int64_t at = 0; at < window.length; at += settings_.protocol.chunk_size) {
      const std::int64_t n = std::min(settings_.protocol.chunk_size, window.length - at);
      forward(sequence, ids(window.first + at, n), matrix(hidden).block(at, n), Phase::prefill);
      progress(n);
    }
    end_compressing(sequence, segment);
    score(sequence, matrix(hidden).block(0, window.length - 1), window.first + 1);
    end_segment(sequence, segment);
  }

  void run_rest(SegmentResult& segment, std::int64_t context) {
    Sequence sequence = new_sequence();
    const std::int64_t n = segment.n_tokens;
    AlignedVector<float> hidden = rows(n - context);
    // The prefill's last state predicts the first token of the rest; the last token predicts nothing that is scored.
    forward(sequence, ids(0, context), matrix(hidden).block(0, 1), Phase::prefill);
    progress(context);
    if (settings_.protocol.protocol == Protocol::continuation) {
      sequence.begin_decoding();
      end_compressing(sequence, segment);
      const std::int64_t n_rest = n - context - 1;
      if (n_rest > 0) {
        forward(sequence, ids(context, n_rest), matrix(hidden).block(1, n_rest), Phase::score);
      }
      score(sequence, matrix(hidden), context);
      progress(n - context);
    } else {
      decode(sequence, segment, context, matrix(hidden));
    }
    end_segment(sequence, segment);
  }

  void decode(Sequence& sequence, SegmentResult& segment, std::int64_t context, Matrix<float> hidden) {
    end_compressing(sequence, segment);
    sequence.begin_decoding();
    score(sequence, hidden.block(0, 1), context);
    for (std::int64_t at = context; at + 1 < segment.n_tokens; ++at) {
      const Matrix<float> row = hidden.block(at - context + 1, 1);
      forward(sequence, ids(at, 1), row, Phase::decode);
      if (sequence.compressed()) end_compressing(sequence, segment);
      score(sequence, row, at + 1);
      progress(1);
    }
  }

  /// The losses of tokens [first_target, first_target + hidden.rows) of the text.
  void score(const Sequence& sequence, Matrix<float> hidden, std::int64_t first_target) {
    const Timer timer;
    const auto n_before = result_.nll.size();
    result_.nll.resize(n_before + static_cast<std::size_t>(hidden.rows));
    result_.log_sums.resize(result_.nll.size());
    const Ids targets = ids(first_target, hidden.rows);
    for (std::int64_t at = 0; at < hidden.rows; at += kRowsBetweenInterrupts) {
      check_interrupt();
      const std::int64_t n = std::min(kRowsBetweenInterrupts, hidden.rows - at);
      const auto first = static_cast<std::size_t>(at);
      const auto count = static_cast<std::size_t>(n);
      output_cross_entropy(hidden.block(at, n), model_.output(), targets.subspan(first, count),
                           std::span(result_.nll).subspan(n_before + first, count),
                           std::span(result_.log_sums).subspan(n_before + first, count));
      refuse_not_finite(n_before + first, count, first_target + at);
      record(Phase::score, sequence);
    }
    result_.times.score += timer.seconds();
    result_.targets.insert(result_.targets.end(), targets.begin(), targets.end());
    result_.hidden.insert(result_.hidden.end(), hidden.data, hidden.data + hidden.rows * hidden.cols);
    for (std::int64_t i = 0; i < hidden.rows; ++i) {
      result_.n_bytes += text_->n_bytes[first_target + i];
    }
  }

  /// Of `count` losses from `first` on, of tokens from `target` of the text on.
  void refuse_not_finite(std::size_t first, std::size_t count, std::int64_t target) const {
    for (std::size_t i = first; i < first + count; ++i) {
      if (std::isfinite(result_.nll[i]) && std::isfinite(result_.log_sums[i])) continue;
      const std::int64_t read = target + static_cast<std::int64_t>(i - first) - 1;
      throw NotFinite(read - result_.segments.back().first_token, text_->ids[static_cast<std::size_t>(read)],
                      "the logits that follow it, or the loss, are not finite", remedy_for(model_.dtype()));
    }
  }

  AlignedVector<float> rows(std::int64_t n) const {
    return AlignedVector<float>(static_cast<std::size_t>(n * model_.config().hidden_size));
  }
  Matrix<float> matrix(AlignedVector<float>& values) const {
    const std::int64_t cols = model_.config().hidden_size;
    return {values.data(), static_cast<std::int64_t>(values.size()) / cols, cols};
  }
  void progress(std::int64_t n) const {
    if (on_progress_) on_progress_(n);
  }

  const Model& model_;
  const RunSettings& settings_;
  const OnProgress& on_progress_;
  const TokenizedText* text_ = nullptr;
  RunResult result_;
  std::optional<TimelineRecorder> recorder_;  // fills result_.timeline
  Phase phase_ = Phase::prefill;              // of the pass at hand
  bool any_quantized_ = false;                // after the last compression of any segment
};

}  // namespace

std::string_view TokenizedText::token_text(std::int64_t position) const {
  if (position < 0 || position >= std::ssize(n_bytes)) return {};
  const auto begin =
      static_cast<std::size_t>(std::accumulate(n_bytes.begin(), n_bytes.begin() + position, std::int64_t{0}));
  if (begin >= decoded.size()) return {};
  return std::string_view(decoded).substr(begin, static_cast<std::size_t>(n_bytes[static_cast<std::size_t>(position)]));
}

NotFinite TokenizedText::located(const NotFinite& error, std::int64_t first) const {
  return error.in(name, token_text(first + error.position()), first);
}

std::vector<TokenPlace> places_of(const RunResult& run) {
  std::vector<TokenPlace> places;
  places.reserve(run.nll.size());
  for (const SegmentResult& it : run.segments) {
    for (std::int64_t i = it.n_tokens - it.n_scored; i < it.n_tokens; ++i)
      places.push_back({it.text, it.first_token + i});
  }
  return places;
}

double RunResult::evicted_share() const { return evicted_share_of(segments); }

double RunResult::mean_nll() const {
  return std::accumulate(nll.begin(), nll.end(), 0.0) / static_cast<double>(nll.size());
}

double RunResult::perplexity() const { return std::exp(mean_nll()); }

double RunResult::bits_per_byte() const {
  const double bits = std::accumulate(nll.begin(), nll.end(), 0.0) / std::log(2.0);
  return n_bytes > 0 ? bits / static_cast<double>(n_bytes) : 0.0;
}

std::vector<CurvePoint> perplexity_curve(const RunResult& run, std::int64_t step) {
  std::vector<CurvePoint> curve;
  std::vector<double> sums;
  for (const SegmentResult& segment : run.segments) {
    for (std::int64_t i = 0; i < segment.n_scored; ++i) {
      const std::int64_t place = segment.n_tokens - segment.n_scored + i;
      const auto at = static_cast<std::size_t>(place / step);
      while (curve.size() <= at) {
        curve.push_back({static_cast<std::int64_t>(curve.size()) * step, 0, 0});
        sums.push_back(0);
      }
      ++curve[at].n_scored;
      sums[at] += run.nll[segment.first_scored + i];
    }
  }
  for (std::size_t at = 0; at < curve.size(); ++at) {
    if (curve[at].n_scored > 0) curve[at].perplexity = std::exp(sums[at] / static_cast<double>(curve[at].n_scored));
  }
  std::erase_if(curve, [](const CurvePoint& it) { return it.n_scored == 0; });
  return curve;
}

RunResult run_protocol(const Model& model, const std::vector<TokenizedText>& texts, const RunSettings& settings,
                       const OnProgress& on_progress) {
  check_settings(settings.protocol, settings.compression);
  reset_peak_resident();
  Runner runner(model, settings, on_progress);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].ids.size() < 2) {
      fail_usage("text {}: has {}; at least 2 are needed", i, counted(texts[i].ids.size(), "token"));
    }
    runner.run_text(texts[i], static_cast<std::int64_t>(i));
  }
  RunResult result = runner.finish();
  if (result.nll.empty()) fail_usage("no text to score: give a text of at least 2 tokens");
  if (!std::isfinite(result.perplexity())) {
    fail("the mean loss of {:.0f} nats has no finite perplexity; the model's weights or the text do not fit",
         result.mean_nll());
  }
  result.peak_rss_bytes = peak_resident_bytes();
  result.cache_format = settings.compression.cache_format;
  return result;
}

std::int64_t progress_total(const std::vector<TokenizedText>& texts) {
  std::int64_t total = 0;
  for (const TokenizedText& text : texts) total += static_cast<std::int64_t>(text.ids.size());
  return total;
}

}  // namespace kvpress
