#include "kvpress/engine/sequence.h"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/timer.h"
#include "kvpress/model/not_finite.h"
#include "ops/cross_entropy.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

Compressor compressor_of(const CompressionSettings& settings) {
  Compressor compressor(settings.plan(), settings.seed);
  compressor.set_press_window_layers(settings.press_window_layers);
  return compressor;
}

}  // namespace

Sequence::Sequence(const Model& model, const CompressionSettings& settings)
    : model_(&model),
      settings_(settings),
      compressor_(compressor_of(settings_)),
      cache_(compressor_.make_cache(model, settings_.cache_format, settings_.positions == Positions::cache)) {}

Sequence::Sequence(const Model& model, const CompressionSettings& settings, SequenceState state)
    : Sequence(model, settings) {
  const ModelConfig& config = model.config();
  decodes_ = state.compressor.decodes;
  compressor_.restore(std::move(state.compressor), config);
  if (state.shape != cache_.shape() || std::ssize(state.heads) != config.n_layers * config.n_kv_heads) {
    fail("its cache has another shape than the model and the press give it");
  }
  for (std::int64_t i = 0; i < std::ssize(state.heads); ++i) {
    cache_.replace(i / config.n_kv_heads, i % config.n_kv_heads, std::move(state.heads[i]));
  }
  if (!state.last_hidden.empty() && std::ssize(state.last_hidden) != config.hidden_size) {
    fail("its last hidden state does not fit the model");
  }
  last_hidden_.assign(state.last_hidden.begin(), state.last_hidden.end());
}

Step Sequence::begin_pass(std::span<const std::int32_t> tokens, Matrix<float> hidden) {
  logits_.clear();
  const std::int64_t cols = model_->config().hidden_size;
  last_hidden_.resize(static_cast<std::size_t>(cols));
  compress_sec_before_ = compressor_.seconds();
  const Matrix<float> last(last_hidden_.data(), 1, cols);
  return compressor_.begin_pass(tokens, cache_, hidden.rows > 0 ? hidden : last);
}

void Sequence::end_pass(Matrix<float> hidden, double pass_seconds) {
  const Timer timer;
  if (hidden.rows > 0) std::copy_n(hidden.row(hidden.rows - 1), hidden.cols, last_hidden_.data());
  compressor_.end_pass(*model_, cache_);
  const double all = pass_seconds + timer.seconds();
  (decodes_ ? decode_sec_ : prefill_sec_) += all - (compressor_.seconds() - compress_sec_before_);
}

void Sequence::append(std::span<const std::int32_t> tokens, Matrix<float> hidden) {
  if (tokens.empty()) return;
  const Timer timer;
  model_->forward(begin_pass(tokens, hidden));
  end_pass(hidden, timer.seconds());
}

void Sequence::begin_decoding() {
  decodes_ = true;
  compressor_.begin_decoding();
}

Matrix<const float> Sequence::last_hidden() const {
  return {last_hidden_.data(), last_hidden_.empty() ? 0 : 1, model_->config().hidden_size};
}

std::span<const float> Sequence::logits() {
  if (last_hidden_.empty()) throw std::logic_error("the logits of an empty sequence");
  if (logits_.empty()) {
    const std::int64_t n = model_->config().vocab_size;
    logits_.resize(static_cast<std::size_t>(n));
    model_->logits(last_hidden(), {logits_.data(), 1, n});
    if (!all_finite(logits_.data(), n)) {
      logits_.clear();
      throw NotFinite(n_tokens() - 1, tokens().back(), "the logits that follow it are not finite",
                      remedy_for(model_->dtype()));
    }
  }
  return logits_;
}

std::int32_t Sequence::most_likely() {
  const std::span<const float> all = logits();
  return static_cast<std::int32_t>(argmax(all.data(), std::ssize(all)));
}

namespace {

/// Calls body(values) for each channel that is carried beside the entries of a head, in a fixed order.
template <typename Cache, typename Body>
void for_each_carried(Cache& cache, Body&& body) {
  for (std::int64_t l = 0; l < cache.shape().n_layers; ++l) {
    for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) {
      for (std::int64_t c = 0; c < cache.shape().n_carried; ++c) body(cache.head(l, h).carried(c));
    }
  }
}

}  // namespace

Sequence::Mark Sequence::mark() const {
  Mark mark(cache_.mark(), compressor_, decodes_, last_hidden_);
  if (compressor_.has_press()) {
    for_each_carried(cache_,
                     [&](auto values) { mark.carried_.insert(mark.carried_.end(), values.begin(), values.end()); });
  }
  return mark;
}

bool Sequence::marks_stay_valid() const {
  return !compressor_.has_press() && settings_.cache_format.bits == 0 && !model_->config().has_windows();
}

void Sequence::rewind(const Mark& mark) {
  cache_.rewind(mark.cache_);
  auto from = mark.carried_.begin();
  if (!mark.carried_.empty()) {
    for_each_carried(cache_, [&](auto values) {
      std::copy_n(from, values.size(), values.begin());
      from += std::ssize(values);
    });
  }
  const double seconds = compressor_.seconds();
  compressor_ = Compressor(mark.compressor_);
  compressor_.add_seconds(seconds - compressor_.seconds());
  decodes_ = mark.decodes_;
  last_hidden_ = mark.last_hidden_;
  logits_.clear();
}

Sequence::Held Sequence::held() const {
  const ModelConfig& config = model_->config();
  double whole = 0;
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    // A layer with a window holds no more than that, and no press asks it to hold less, unless it was told to.
    const std::int64_t window = config.layer(l).window;
    const std::int64_t seen = window == 0                     ? n_tokens()
                              : settings_.press_window_layers ? std::min(n_tokens(), window)
                                                              : 0;
    for (std::int64_t h = 0; h < config.n_kv_heads; ++h) {
      whole += static_cast<double>(std::max(seen, cache_.head(l, h).size()));
    }
  }
  return {cache_.mean_entries(), whole / static_cast<double>(config.n_layers * config.n_kv_heads)};
}

void warn_that_nothing_is_quantized(const CacheFormat& format, double cache_tokens) {
  log_warning_once(fmt::format(
      "{} {} saves nothing: the newest {} tokens of each head are not quantized ({}), and a head holds {:.0f}; "
      "use a smaller {}, or longer texts",
      setting("cache_dtype"), to_string(format), format.residual, setting("cache_residual"), cache_tokens,
      setting("cache_residual")));
}

void warn_if_nothing_is_quantized(const Sequence& sequence) {
  if (!sequence.quantizes_nothing()) return;
  warn_that_nothing_is_quantized(sequence.settings().cache_format, sequence.cache_tokens());
}

SequenceTimes Sequence::times() const { return {prefill_sec_, decode_sec_, compressor_.seconds()}; }

void SequenceBatch::append(std::span<const Item> items) {
  if (items.empty()) return;
  const Timer timer;
  std::vector<Step> steps;
  steps.reserve(items.size());
  for (const Item& it : items) {
    if (!it.tokens.empty()) steps.push_back(it.sequence.begin_pass(it.tokens, it.hidden));
  }
  items.front().sequence.model().forward(steps, workspace_);
  const double seconds = timer.seconds();
  for (const Item& it : items) {
    if (!it.tokens.empty()) it.sequence.end_pass(it.hidden, seconds);
  }
}

}  // namespace kvpress
