#include "kvpress/press/compressor.h"

#include <algorithm>

#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/timer.h"
#include "kvpress/press/press_state.h"

namespace kvpress {
namespace {

/// What a window has left behind and a layer may hold still: 63 entries that wait to be dropped with others, and 31 of
/// a quantized group.
constexpr std::int64_t kLeftBehind = 63 + 31;

/// The most that layers with windows hold between two passes. What is beside keys and values keeps up to twice the room
/// that it needs (KVHead::drop_front()).
std::size_t bytes_of_windows(const ModelConfig& config, CacheShape shape) {
  shape.n_layers = 1;
  std::size_t bytes = 0;
  for (const LayerSpec& it : config.layers) {
    if (it.window == 0) continue;
    const std::int64_t n = it.window + kLeftBehind;
    bytes += KVCache::most_bytes(shape, n) + static_cast<std::size_t>(n * shape.n_kv_heads) *
                                                 (sizeof(std::int32_t) + static_cast<std::size_t>(shape.n_carried) * 4);
  }
  return bytes;
}

}  // namespace

Compressor::Compressor(const CompressionPlan& plan, std::uint64_t seed)
    : plan_(plan), same_press_(plan.prefill == plan.decoding), seed_(seed) {
  if (plan.prefill != nullptr) add_part(prefill_, *plan.prefill);
  if (plan.decoding != nullptr && !same_press_) add_part(decoding_, *plan.decoding);
}

void Compressor::add_part(Part& part, const Press& press) {
  part.press = press.clone();
  part.needs = part.press->needs();
  part.first_carried = needs_.n_carried;
  needs_ = needs_ + part.needs;
}

template <typename Body>
void Compressor::ask(std::optional<std::int64_t> layer, Body&& body) const {
  try {
    body();
  } catch (const PressError& error) {
    throw Error(
        fmt::format("press {}: {}{}", plan_.name, layer ? fmt::format("layer {}: ", *layer) : "", error.what()));
  }
}

void Compressor::choose_layers(const ModelConfig& config) {
  for (const Part* part : {&prefill_, &decoding_}) {
    if (*part && part->press->kind() == PressKind::context && press_window_layers_ && config.has_windows()) {
      fail_setting("press_window_layers", "{} compresses all layers at once, but none with a window; leave it out",
                   plan_.name);
    }
  }
  layers_.clear();
  for (std::int64_t l = 0; l < config.n_layers; ++l) {
    if (press_window_layers_ || config.layer(l).window == 0) layers_.push_back(l);
  }
  all_have_windows_ = layers_.empty();
  if (all_have_windows_ && has_press()) {
    log_warning_once(fmt::format("every layer of the model has a window, so {} compresses none; to compress them: {}",
                                 plan_.name, setting("press_window_layers")));
  }
}

KVCache Compressor::make_cache(const Model& model, const CacheFormat& format, bool renumber) {
  choose_layers(model.config());
  KVCache cache = model.make_cache(format, needs_.n_carried + (needs_.accumulated_attention ? 1 : 0),
                                   renumber || needs_.rebuilds_positions);
  CacheShape shape = cache.shape();
  const std::size_t taken = press_window_layers_ ? 0 : bytes_of_windows(model.config(), shape);
  shape.n_layers = std::max<std::int64_t>(1, std::ssize(layers_));
  for (Budget* budget : {&plan_.prefill_budget, &plan_.decoding_budget}) *budget = budget->in_tokens(shape, taken);
  return cache;
}

void Compressor::begin_decoding() {
  if (!decodes_) n_prompt_ = static_cast<std::int64_t>(tokens_.size());
  decodes_ = true;
  if (!same_press_) prefill_.press.reset();
  if (plan_.decoding != nullptr) return;
  needs_ = {};
  recent_queries_ = {};
}

bool Compressor::compresses() const {
  if (!current()) return false;
  return decodes_ ? n_decoded_ % plan_.compression_interval == 0 : active_;
}

Step Compressor::begin_pass(std::span<const std::int32_t> tokens, KVCache& cache, Matrix<float> hidden) {
  const auto first_position = static_cast<std::int64_t>(tokens_.size());
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  n_newest_ = static_cast<std::int64_t>(tokens.size());
  if (decodes_) n_decoded_ += n_newest_;
  const bool listens = has_press() || pass_watcher_ || block_watcher_;
  return {tokens, first_position, cache, listens ? this : nullptr, hidden};
}

void Compressor::end_pass(const Model& model, KVCache& cache) {
  if (!compresses()) return;
  if (pass_watcher_) pass_watcher_(PassMoment::attended, cache);
  if (!all_have_windows_) {
    const ScopedTimer timer(seconds_);
    ask({}, [&] {
      current().press->compress_context({model, cache, tokens_, n_newest_, budget_view(), &watcher_,
                                         first_carried(current()), rights(current()), protected_});
    });
  }
  if (pass_watcher_) pass_watcher_(PassMoment::compressed, cache);
}

void Compressor::forward(const Model& model, std::span<const std::int32_t> tokens, KVCache& cache,
                         Matrix<float> hidden) {
  model.forward(begin_pass(tokens, cache, hidden));
  end_pass(model, cache);
}

BudgetView Compressor::budget_view() const {
  const Budget& budget = decodes_ ? plan_.decoding_budget : plan_.prefill_budget;
  BudgetView view;
  view.n_seen = static_cast<std::int64_t>(tokens_.size());
  view.n_kept = budget.n_kept(view.n_seen);
  for (const PlaceRange& it : protected_) {
    view.n_kept -= std::max<std::int64_t>(0, std::min(it.end, view.n_seen) - it.begin);
  }
  view.n_kept = std::max<std::int64_t>(1, view.n_kept);
  view.ratio = budget.ratio;
  if (budget.target_size) {
    view.ratio = std::max(0.0, 1.0 - static_cast<double>(view.n_kept) / static_cast<double>(view.n_seen));
  }
  view.seed = seed_;
  view.layers = layers_;
  view.n_prompt = decodes_ ? n_prompt_ : view.n_seen;
  return view;
}

void Compressor::after_attention(const AttentionBlock& block) {
  if (block_watcher_) block_watcher_(block);
  if (block.is_last && pass_watcher_) pass_watcher_(PassMoment::attended, block.cache);
  const bool may_press = press_window_layers_ || block.spec().window == 0;
  if ((prefill_ || decoding_) && may_press) press_layer(block);
  if (!block.is_last || (!prefill_ && !decoding_)) return;
  if (pass_watcher_) pass_watcher_(PassMoment::compressed, block.cache);
}

void Compressor::press_layer(const AttentionBlock& block) {
  const ScopedTimer timer(seconds_);
  LayerView view{block, budget_view()};
  view.watcher = &watcher_;
  view.stays = protected_;
  if (const std::int64_t window = block.spec().window; window > 0) {
    const Budget& budget = decodes_ ? plan_.decoding_budget : plan_.prefill_budget;
    view.budget.n_kept = std::min(view.budget.n_kept, budget.n_kept(std::min(view.budget.n_seen, window)));
  }
  if (needs_.recent_queries > 0) {
    const auto l = static_cast<std::size_t>(block.layer);
    if (recent_queries_.size() <= l) recent_queries_.resize(l + 1);
    recent_queries_[l].add(block.queries_before_rope, needs_.recent_queries);
    view.recent_queries = recent_queries_[l].last(needs_.recent_queries, block.queries_before_rope.cols);
  }
  if (!block.is_last) return;
  const auto seen_by = [&](const Part& part) {
    view.first_carried = first_carried(part);
    view.rights = rights(part);
    return view;
  };
  ask(block.layer, [&] {
    for (const Part* part : {&prefill_, &decoding_}) {
      if (*part && part->needs.every_block) part->press->observe(seen_by(*part));
    }
    if (compresses()) current().press->compress(seen_by(current()));
  });
}

void Compressor::after_layer(const LayerOutput& output) {
  const ScopedTimer timer(seconds_);
  for (const Part* part : {&prefill_, &decoding_}) {
    if (*part && part->needs.layer_outputs) {
      ask(output.layer, [&] { part->press->observe_output(output); });
    }
  }
}

CompressorState Compressor::state(const ModelConfig& config) const {
  CompressorState state{tokens_, decodes_, active_, n_prompt_, n_decoded_, {}, {}, {}};
  const std::int64_t cols = config.n_heads * config.head_dim;
  for (const RecentQueries& it : recent_queries_) {
    const auto last = it.last(needs_.recent_queries, cols);
    state.recent_queries.emplace_back(last.row(0), last.row(0) + last.rows * cols);
  }
  const auto n_tokens = static_cast<std::int64_t>(tokens_.size());
  const auto state_of = [&](const Part& part) { return part ? press_state(*part.press, config, n_tokens) : ""; };
  try {
    state.prefill_press = state_of(prefill_);
    state.decoding_press = state_of(decoding_);
  } catch (const UsageError& error) {
    fail_usage("press {}: {}", plan_.name, error.what());
  }
  return state;
}

void Compressor::restore(CompressorState state, const ModelConfig& config) {
  tokens_ = std::move(state.tokens);
  const auto n_tokens = static_cast<std::int64_t>(tokens_.size());
  if (state.decodes) begin_decoding();
  active_ = state.active;
  n_prompt_ = state.n_prompt;
  n_decoded_ = state.n_decoded;
  if (n_prompt_ < 0 || n_prompt_ > n_tokens || n_decoded_ < 0 || n_decoded_ > n_tokens) {
    fail("{} prompt tokens and {} decoded ones do not make up {}", n_prompt_, n_decoded_, n_tokens);
  }
  const std::int64_t cols = config.n_heads * config.head_dim;
  const std::int64_t most = needs_.recent_queries * cols;
  if (std::ssize(state.recent_queries) > config.n_layers) fail("its recent queries are of more layers than there are");
  recent_queries_.clear();
  for (const std::vector<float>& rows : state.recent_queries) {
    if (std::ssize(rows) > most || std::ssize(rows) % cols != 0) fail("its recent queries do not fit the press");
    recent_queries_.emplace_back().rows.assign(rows.begin(), rows.end());
  }
  const auto restore = [&](const Part& part, const std::string& press) {
    if (part) set_press_state(*part.press, press, config, n_tokens);
  };
  restore(prefill_, state.prefill_press);
  restore(decoding_, state.decoding_press);
}

void Compressor::RecentQueries::add(Matrix<const float> queries, std::int64_t wanted) {
  const std::int64_t cols = queries.cols;
  const std::int64_t n_new = std::min(wanted, queries.rows);
  const std::int64_t n_old = static_cast<std::int64_t>(rows.size()) / cols;
  if (n_old + n_new > 2 * wanted) {
    const std::int64_t n_stay = wanted - n_new;
    rows.erase(rows.begin(), rows.end() - n_stay * cols);
  }
  for (std::int64_t t = queries.rows - n_new; t < queries.rows; ++t) {
    rows.insert(rows.end(), queries.row(t), queries.row(t) + cols);
  }
}

Matrix<const float> Compressor::RecentQueries::last(std::int64_t wanted, std::int64_t cols) const {
  const std::int64_t n = static_cast<std::int64_t>(rows.size()) / cols;
  return Matrix<const float>(rows.data(), n, cols).block(std::max<std::int64_t>(0, n - wanted), std::min(n, wanted));
}

std::span<float* const> Compressor::column_sums(std::int64_t layer, KVCache& cache) {
  column_sums_.clear();
  if (needs_.accumulated_attention) {
    for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) {
      column_sums_.push_back(cache.head(layer, h).carried(0).data());
    }
  }
  return column_sums_;
}

}  // namespace kvpress
