#include "kvpress/cache/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string_view>

#include "kvpress/base/threads.h"
#include "ops/channels.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

/// Decoding grows by one token at a time; what is kept beside keys and values grows by so many: not by as little, nor
/// to twice as much as std::vector would.
constexpr std::size_t kStep = 128;

/// Moves the rows at `indices` (ascending), less `first`, to the front: no row is overwritten before it was moved.
void compact(std::byte* rows, std::size_t row_bytes, std::span<const std::int32_t> indices, std::int64_t first = 0) {
  for (std::size_t to = 0; to < indices.size(); ++to) {
    const auto from = static_cast<std::size_t>(indices[to] - first);
    if (from != to) std::memcpy(rows + to * row_bytes, rows + from * row_bytes, row_bytes);
  }
}

template <typename T>
void compact(std::vector<T>& values, std::span<const std::int32_t> indices) {
  for (std::size_t to = 0; to < indices.size(); ++to) values[to] = values[indices[to]];
  values.resize(indices.size());
  values.shrink_to_fit();
}

}  // namespace

KVHead::KVHead(const CacheShape& shape)
    : head_dim_(shape.head_dim),
      type_(shape.format.type),
      renumber_(shape.renumber),
      older_(shape.head_dim, shape.format.bits),
      carried_(static_cast<std::size_t>(shape.n_carried)) {}

void KVHead::copy_key(std::int64_t i, std::byte* out) const {
  AlignedVector<float> key(static_cast<std::size_t>(head_dim_));
  keys_as_float(i, 1, key.data());
  from_float(key.data(), out, type_, head_dim_);
}

void KVHead::copy_value(std::int64_t i, std::byte* out) const {
  AlignedVector<float> value(static_cast<std::size_t>(head_dim_));
  values_as_float(i, 1, value.data());
  from_float(value.data(), out, type_, head_dim_);
}

void KVHead::write_key(std::int64_t i, const float* key) {
  const std::int64_t at = i - older_.size();
  if (at >= n_thin_) {
    from_float(key, full_key(at), type_, head_dim_);
    return;
  }
  std::vector<float> stored(channels_.size());
  take_channels(key, DType::f32, 1, head_dim_, channels_, stored.data());
  from_float(stored.data(), thin_key(at), type_, static_cast<std::int64_t>(stored.size()));
}

void KVHead::write_value(std::int64_t i, const float* value) {
  changes_.add(i);
  store_value(i, value);
}

void KVHead::store_value(std::int64_t i, const float* value) {
  const std::int64_t at = i - older_.size();
  if (at < 0) {
    older_.write_value(i, value);
  } else {
    from_float(value, this->value(at), type_, head_dim_);
  }
}

void KVHead::thin_keys(std::span<const std::int32_t> channels) {
  changes_.add(0);
  if (n_thin() == 0) channels_.assign(channels.begin(), channels.end());
  older_.thin_keys(channels_);
  thin_keys_.resize(static_cast<std::size_t>(n_tail_) * thin_row_bytes());
  take_channels(keys_.data(), type_, n_tail_ - n_thin_, head_dim_, channels_, thin_key(n_thin_));
  keys_.resize(0);
  n_thin_ = n_tail_;
}

std::size_t KVHead::allocated_bytes() const {
  std::size_t bytes = older_.allocated() + keys_.allocated() + thin_keys_.allocated() + values_.allocated() +
                      (positions_.capacity() + slots_.capacity() + channels_.capacity()) * sizeof(std::int32_t);
  for (const auto& channel : carried_) bytes += channel.capacity() * sizeof(float);
  return bytes;
}

void KVHead::resize(std::int64_t n) {
  const auto size = static_cast<std::size_t>(n);
  if (n < this->size()) changes_.add(n);
  if (n < older_.size()) {
    // What is left of a group that is cut is no whole group any more.
    const std::int64_t n_groups = n / kKVGroup;
    const std::int64_t left = n % kKVGroup;
    AlignedVector<float> keys(static_cast<std::size_t>(left * head_dim_));
    AlignedVector<float> values(keys.size());
    keys_as_float(n - left, left, keys.data());
    values_as_float(n - left, left, values.data());
    older_.truncate(n_groups, channels_.size());
    thin_keys_.resize(0);
    n_thin_ = 0;
    keys_.resize(0);
    values_.resize(0);
    n_tail_ = 0;
    prepend(keys.data(), values.data(), left, 0);
  }
  n_tail_ = n - older_.size();
  if (n_tail_ < n_thin_) {
    n_thin_ = n_tail_;
    thin_keys_.resize(static_cast<std::size_t>(n_tail_) * thin_row_bytes());
  }
  keys_.resize(static_cast<std::size_t>(n_tail_ - n_thin_) * row_bytes());
  values_.resize(static_cast<std::size_t>(n_tail_) * row_bytes());
  const std::size_t capacity = (size + kStep - 1) / kStep * kStep;
  positions_.reserve(capacity);
  positions_.resize(size);
  for (auto& channel : carried_) {
    channel.reserve(capacity);
    channel.resize(size, 0.0f);
  }
}

void KVHead::extend(std::int64_t n, std::int64_t first_position) {
  const std::int64_t old = size();
  resize(old + n);
  std::iota(positions_.begin() + old, positions_.end(), static_cast<std::int32_t>(first_position));
}

void KVHead::append(const KVHead& from, std::span<const std::int32_t> indices) {
  auto to = static_cast<std::size_t>(size());
  resize(size() + static_cast<std::int64_t>(indices.size()));
  for (const std::int32_t index : indices) {
    const auto at = static_cast<std::size_t>(index);
    from.copy_key(index, full_key(static_cast<std::int64_t>(to)));
    from.copy_value(index, value(static_cast<std::int64_t>(to)));
    positions_[to] = from.positions_[at];
    if (renumber_) slots_.push_back(static_cast<std::int32_t>(from.rope_position(index)));
    for (std::size_t c = 0; c < carried_.size(); ++c) carried_[c][to] = from.carried_[c][at];
    ++to;
  }
}

void KVHead::drop_front(std::int64_t n) {
  changes_.add(0);
  const std::int64_t n_groups = std::min(n / kKVGroup, older_.n_groups());
  older_.drop_first(n_groups, channels_.size());
  if (older_.n_groups() > 0) {
    n = n_groups * kKVGroup;
  } else {
    drop_oldest(n - n_groups * kKVGroup);
  }
  const auto drop = [n](auto& values) {
    if (values.empty()) return;
    values.erase(values.begin(), values.begin() + n);
    if (values.capacity() > 2 * values.size()) values.shrink_to_fit();
  };
  drop(positions_);
  drop(slots_);
  for (auto& channel : carried_) drop(channel);
}

void KVHead::keep(std::span<const std::int32_t> indices, const TurnKey& turn) {
  std::int32_t first_evicted = 0;
  while (first_evicted < std::ssize(indices) && indices[first_evicted] == first_evicted) {
    ++first_evicted;
  }
  changes_.add(first_evicted);
  const std::int64_t n_older = older_.size();
  const auto below = [&](std::int64_t end) {
    return static_cast<std::size_t>(std::lower_bound(indices.begin(), indices.end(), end) - indices.begin());
  };
  const std::size_t n_older_kept = below(n_older);
  const std::size_t n_thin_kept = below(n_older + n_thin_) - n_older_kept;
  const auto tail = indices.subspan(n_older_kept);
  compact(thin_keys_.data(), thin_row_bytes(), tail.first(n_thin_kept), n_older);
  compact(keys_.data(), row_bytes(), tail.subspan(n_thin_kept), n_older + n_thin_);
  n_thin_ = static_cast<std::int64_t>(n_thin_kept);
  n_tail_ = static_cast<std::int64_t>(tail.size());
  compact(values_.data(), row_bytes(), tail, n_older);
  thin_keys_.resize(n_thin_kept * thin_row_bytes());
  keys_.resize((tail.size() - n_thin_kept) * row_bytes());
  values_.resize(tail.size() * row_bytes());
  if (static_cast<std::int64_t>(n_older_kept) < n_older) keep_quantized(indices.first(n_older_kept), turn);
  compact(positions_, indices);
  if (!slots_.empty()) compact(slots_, indices);
  for (auto& channel : carried_) compact(channel, indices);
}

void KVHead::keep_quantized(std::span<const std::int32_t> indices, const TurnKey& turn) {
  // Groups of which all stay where they are stay as they are.
  std::size_t same = 0;
  while (same < indices.size() && indices[same] == static_cast<std::int32_t>(same)) ++same;
  const std::int64_t n_same_groups = static_cast<std::int64_t>(same) / kKVGroup;
  const std::int64_t first = n_same_groups * kKVGroup;
  const auto rest = indices.subspan(static_cast<std::size_t>(first));
  const auto n = static_cast<std::int64_t>(rest.size());
  const std::int64_t n_thin = std::lower_bound(rest.begin(), rest.end(), older_.view().n_thin) - rest.begin();
  AlignedVector<float> keys(static_cast<std::size_t>(n * head_dim_));
  AlignedVector<float> values(keys.size());
  AlignedVector<float> group_keys(static_cast<std::size_t>(kKVGroup * head_dim_));
  AlignedVector<float> group_values(group_keys.size());
  std::int64_t decoded = -1;
  for (std::int64_t j = 0; j < n; ++j) {
    const std::int64_t from = rest[j];
    if (from / kKVGroup != decoded) {
      decoded = from / kKVGroup;
      keys_to_float(view(), type_, head_dim_, decoded * kKVGroup, kKVGroup, group_keys.data());
      values_to_float(view(), type_, head_dim_, decoded * kKVGroup, kKVGroup, group_values.data());
    }
    std::copy_n(group_keys.data() + from % kKVGroup * head_dim_, head_dim_, keys.data() + j * head_dim_);
    std::copy_n(group_values.data() + from % kKVGroup * head_dim_, head_dim_, values.data() + j * head_dim_);
    if (turn) turn(first + j, keys.data() + j * head_dim_);
  }
  const std::int64_t n_groups = n / kKVGroup;
  older_.truncate(n_same_groups, channels_.size());
  older_.extend(n_groups, n_thin / kKVGroup, channels_.size());
  for (std::int64_t g = 0; g < n_groups; ++g) {
    const std::int64_t at = g * kKVGroup * head_dim_;
    older_.write(n_same_groups + g, keys.data() + at, values.data() + at, channels_);
  }
  const std::int64_t at = n_groups * kKVGroup;
  prepend(keys.data() + at * head_dim_, values.data() + at * head_dim_, n - at, std::max<std::int64_t>(0, n_thin - at));
}

void KVHead::prepend(const float* keys, const float* values, std::int64_t n, std::int64_t n_thin) {
  if (n == 0) return;
  const auto make_room = [](PageBuffer& buffer, std::int64_t old_rows, std::int64_t rows, std::size_t row_bytes) {
    const std::size_t old = static_cast<std::size_t>(old_rows) * row_bytes;
    const std::size_t more = static_cast<std::size_t>(rows) * row_bytes;
    buffer.resize(old + more);
    if (old > 0) std::memmove(buffer.data() + more, buffer.data(), old);
  };
  make_room(thin_keys_, n_thin_, n_thin, thin_row_bytes());
  make_room(keys_, n_tail_ - n_thin_, n - n_thin, row_bytes());
  make_room(values_, n_tail_, n, row_bytes());
  n_thin_ += n_thin;
  n_tail_ += n;
  for (std::int64_t i = 0; i < n; ++i) {
    write_key(older_.size() + i, keys + i * head_dim_);
    store_value(older_.size() + i, values + i * head_dim_);
  }
}

std::int64_t KVHead::n_groups_due(std::int64_t residual) const {
  return std::max<std::int64_t>(0, n_tail_ - residual) / kKVGroup;
}

void KVHead::extend_quantized(std::int64_t n_groups) {
  const bool all_thin = older_.n_thin_groups() == older_.n_groups();
  older_.extend(n_groups, all_thin ? std::min(n_thin_ / kKVGroup, n_groups) : 0, channels_.size());
}

void KVHead::quantize(std::int64_t i_due, std::int64_t n_groups) {
  AlignedVector<float> keys(static_cast<std::size_t>(kKVGroup * head_dim_));
  AlignedVector<float> values(keys.size());
  HeadKV tail = view();
  tail.older = {};
  keys_to_float(tail, type_, head_dim_, i_due * kKVGroup, kKVGroup, keys.data());
  values_to_float(tail, type_, head_dim_, i_due * kKVGroup, kKVGroup, values.data());
  older_.write(older_.n_groups() - n_groups + i_due, keys.data(), values.data(), channels_);
}

void KVHead::drop_oldest(std::int64_t n) {
  const auto drop = [](PageBuffer& buffer, std::int64_t rows, std::int64_t old_rows, std::size_t row_bytes) {
    const std::size_t from = static_cast<std::size_t>(rows) * row_bytes;
    const std::size_t left = static_cast<std::size_t>(old_rows - rows) * row_bytes;
    if (rows > 0 && left > 0) std::memmove(buffer.data(), buffer.data() + from, left);
    buffer.resize(left);
  };
  const std::int64_t n_thin = std::min(n, n_thin_);
  drop(thin_keys_, n_thin, n_thin_, thin_row_bytes());
  drop(keys_, n - n_thin, n_tail_ - n_thin_, row_bytes());
  drop(values_, n, n_tail_, row_bytes());
  n_thin_ -= n_thin;
  n_tail_ -= n;
}

KVCache::KVCache(const CacheShape& shape, LayerRopes ropes) : shape_(shape), ropes_(std::move(ropes)) {
  const std::int64_t n_heads = shape.n_layers * shape.n_kv_heads;
  heads_.reserve(static_cast<std::size_t>(n_heads));
  for (std::int64_t i = 0; i < n_heads; ++i) heads_.emplace_back(shape);
}

KVCache::KVCache(const KVCache& other) : shape_(other.shape_), ropes_(other.ropes_), heads_(other.heads_) {
  for (const KVHead& it : heads_) allocated_ += it.allocated_bytes();
  peak_ = allocated_;
}

KVCache& KVCache::operator=(const KVCache& other) {
  if (this != &other) *this = KVCache(other);
  return *this;
}

template <typename Change>
void KVCache::tracked(KVHead& head, Change change) {
  allocated_ -= head.allocated_bytes();
  change();
  allocated_ += head.allocated_bytes();
  peak_ = std::max(peak_, allocated_);
}

void KVCache::extend(std::int64_t layer, std::int64_t n, std::int64_t first_position) {
  for (std::int64_t h = 0; h < shape_.n_kv_heads; ++h) {
    KVHead& it = head(layer, h);
    tracked(it, [&] { it.extend(n, first_position); });
  }
}

void KVCache::write_row(std::int64_t layer, std::int64_t kv_head, std::int64_t i, const float* key,
                        const float* value) {
  KVHead& it = head(layer, kv_head);
  it.write_key(i, key);
  it.store_value(i, value);
}

void KVCache::keep(std::int64_t layer, std::int64_t kv_head, std::span<const std::int32_t> indices) {
  KVHead& it = head(layer, kv_head);
  if (static_cast<std::int64_t>(indices.size()) == it.size()) return;
  if (!shape_.renumber || indices.empty()) {
    tracked(it, [&] { it.keep(indices); });
    return;
  }
  Rope& rope = ropes_.of(layer);
  rope.prepare(indices.back() - static_cast<std::int64_t>(indices.size()) +
               2);  // gaps only grow: the last is the widest
  const std::int64_t n_turned = std::lower_bound(indices.begin(), indices.end(), it.n_quantized()) - indices.begin();
  tracked(it, [&] { it.keep(indices, [&](std::int64_t j, float* key) { rope.undo(key, indices[j] - j); }); });
  turn_back(it, rope, indices, n_turned);
}

void KVCache::settle(std::int64_t layer) {
  if (shape_.format.bits == 0) return;
  struct Due {
    std::int64_t kv_head, i, n;
  };
  std::vector<Due> due;
  for (std::int64_t h = 0; h < shape_.n_kv_heads; ++h) {
    KVHead& it = head(layer, h);
    const std::int64_t n = it.n_groups_due(shape_.format.residual);
    if (n > 0) tracked(it, [&] { it.extend_quantized(n); });
    for (std::int64_t i = 0; i < n; ++i) due.push_back({h, i, n});
  }
  parallel_for(static_cast<std::int64_t>(due.size()), [&](std::int64_t item) {
    const Due& it = due[item];
    head(layer, it.kv_head).quantize(it.i, it.n);
  });
  for (const Due& it : due) {
    if (it.i > 0) continue;
    KVHead& quantized = head(layer, it.kv_head);
    tracked(quantized, [&] { quantized.drop_oldest(it.n * kKVGroup); });
  }
}

void KVCache::turn_back(KVHead& head, const Rope& rope, std::span<const std::int32_t> old_slots, std::int64_t first) {
  constexpr std::int64_t kRows = 64;
  const std::int64_t n = head.size();
  parallel_for((n - first + kRows - 1) / kRows, [&](std::int64_t item) {
    AlignedVector<float> key(static_cast<std::size_t>(shape_.head_dim));
    for (std::int64_t j = first + item * kRows; j < std::min(n, first + (item + 1) * kRows); ++j) {
      const std::int64_t gap = old_slots[j] - j;
      if (gap == 0) continue;
      head.keys_as_float(j, 1, key.data());
      rope.undo(key.data(), gap);
      head.write_key(j, key.data());
    }
  });
}

CacheMark KVCache::mark() const {
  CacheMark mark;
  for (const KVHead& it : heads_) mark.heads_.push_back({it.size(), it.n_quantized(), it.changes_.now()});
  return mark;
}

void KVCache::rewind(const CacheMark& mark) {
  if (mark.heads_.size() != heads_.size()) throw std::logic_error("the mark is of a cache of another shape");
  const auto refuse = [&](std::size_t i, std::string_view what) {
    const auto at = static_cast<std::int64_t>(i);
    throw std::logic_error(fmt::format("layer {}, KV head {}: entries before the mark were {} since",
                                       at / shape_.n_kv_heads, at % shape_.n_kv_heads, what));
  };
  for (std::size_t i = 0; i < heads_.size(); ++i) {
    const auto& [n, n_quantized, time] = mark.heads_[i];
    if (heads_[i].size() < n || heads_[i].changes_.first_since(time) < n) refuse(i, "evicted or rewritten");
    if (n_quantized < n && heads_[i].n_quantized() > n_quantized) refuse(i, "rounded");
  }
  for (std::size_t i = 0; i < heads_.size(); ++i) truncate(heads_[i], mark.heads_[i].n);
}

void KVCache::drop_from(std::int64_t place) {
  for (KVHead& it : heads_) {
    const auto positions = it.positions();
    truncate(it, std::lower_bound(positions.begin(), positions.end(), place) - positions.begin());
  }
}

void KVCache::drop_before(std::int64_t layer, std::int64_t place) {
  for (std::int64_t h = 0; h < shape_.n_kv_heads; ++h) {
    KVHead& it = head(layer, h);
    const auto positions = it.positions();
    const std::int64_t n = std::lower_bound(positions.begin(), positions.end(), place) - positions.begin();
    if (n == 0) continue;
    if (!shape_.renumber) {
      tracked(it, [&] { it.drop_front(n); });
      continue;
    }
    std::vector<std::int32_t> rest(static_cast<std::size_t>(it.size() - n));
    std::iota(rest.begin(), rest.end(), static_cast<std::int32_t>(n));
    keep(layer, h, rest);
  }
}

void KVCache::truncate(std::int64_t layer, std::int64_t kv_head, std::int64_t n) { truncate(head(layer, kv_head), n); }

void KVCache::truncate(KVHead& it, std::int64_t n) {
  if (n >= it.size()) return;
  tracked(it, [&] {
    it.resize(n);
    it.positions_.shrink_to_fit();
    for (auto& channel : it.carried_) channel.shrink_to_fit();
  });
}

void KVCache::thin_keys(std::int64_t layer, std::int64_t kv_head, std::span<const std::int32_t> channels) {
  KVHead& it = head(layer, kv_head);
  tracked(it, [&] { it.thin_keys(channels); });
}

double KVCache::mean_tokens() const {
  double sum = 0;
  for (const KVHead& it : heads_) sum += static_cast<double>(it.size());
  return heads_.empty() ? 0 : sum / static_cast<double>(heads_.size());
}

double KVCache::mean_entries() const {
  double sum = 0;
  for (const KVHead& it : heads_) {
    const auto lost = static_cast<double>(shape_.head_dim - std::ssize(it.channels()));
    const double share = it.n_thin() > 0 ? lost / static_cast<double>(2 * shape_.head_dim) : 0.0;
    sum += static_cast<double>(it.size()) - share * static_cast<double>(it.n_thin());
  }
  return sum / static_cast<double>(heads_.size());
}

bool KVCache::has_quantized() const {
  return std::any_of(heads_.begin(), heads_.end(), [](const KVHead& it) { return it.n_quantized() > 0; });
}

std::size_t KVCache::bytes_per_token(const CacheShape& shape) {
  const auto heads = static_cast<std::size_t>(shape.n_layers * shape.n_kv_heads);
  const std::int64_t d = shape.head_dim;
  const int bits = shape.format.bits;
  const std::size_t numbers = bits == 0 ? 2 * static_cast<std::size_t>(d) * size_of(shape.format.type)
                                        : (kv_block_bytes(d, bits) + kv_block_bytes(value_lines(d), bits)) / kKVGroup;
  const std::size_t one = numbers + sizeof(std::int32_t) + static_cast<std::size_t>(shape.n_carried) * sizeof(float);
  return heads * one;
}

std::size_t KVCache::most_bytes(const CacheShape& shape, std::int64_t n) {
  const auto heads = static_cast<std::size_t>(shape.n_layers * shape.n_kv_heads);
  const auto size = static_cast<std::size_t>(n);
  const int bits = shape.format.bits;
  const std::size_t groups =
      bits == 0 ? 0 : static_cast<std::size_t>(std::max<std::int64_t>(0, n - shape.format.residual) / kKVGroup);
  const std::size_t group_bytes =
      bits == 0 ? 0 : kv_block_bytes(shape.head_dim, bits) + kv_block_bytes(value_lines(shape.head_dim), bits);
  // A group's worth of entries may wait for others before it is quantized again.
  const std::size_t tail = std::min(size, size - groups * kKVGroup + (groups > 0 ? kKVGroup : 0));
  const std::size_t numbers =
      groups * group_bytes + tail * 2 * static_cast<std::size_t>(shape.head_dim) * size_of(shape.format.type);
  const std::size_t beside =
      (size + kStep) * (sizeof(std::int32_t) + static_cast<std::size_t>(shape.n_carried) * sizeof(float));
  const std::size_t pages = (bits == 0 ? 2 : 4) * page_size();  // each buffer's last page may be nearly empty
  return heads * (numbers + beside + pages);
}

std::int64_t KVCache::tokens_within(const CacheShape& shape, std::size_t bytes) {
  std::int64_t fits = 0;
  std::int64_t too_many = static_cast<std::int64_t>(bytes / std::max<std::size_t>(1, bytes_per_token(shape))) + 1;
  while (too_many - fits > 1) {
    const std::int64_t middle = fits + (too_many - fits) / 2;
    (most_bytes(shape, middle) <= bytes ? fits : too_many) = middle;
  }
  return fits;
}

}  // namespace kvpress
