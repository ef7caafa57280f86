#include "kvpress/cache/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kvpress/base/threads.h"
#include "kvpress/ops/channels.h"
#include "kvpress/ops/rowwise.h"

namespace kvpress {
namespace {

/// Moves the rows at `indices` (ascending), less `first`, to the front: no row is overwritten before it was moved.
void compact(std::byte* rows, std::size_t row_bytes, std::span<const std::int32_t> indices, std::int64_t first = 0) {
  for (std::size_t to = 0; to < indices.size(); ++to) {
    const auto from = static_cast<std::size_t>(indices[to] - first);
    if (from != to) std::memcpy(rows + to * row_bytes, rows + from * row_bytes, row_bytes);
  }
}

template <typename T>
void compact(std::vector<T>& values, std::span<const std::int32_t> indices) {
  for (std::size_t to = 0; to < indices.size(); ++to) values[to] = values[static_cast<std::size_t>(indices[to])];
  values.resize(indices.size());
  values.shrink_to_fit();
}

}  // namespace

KVHead::KVHead(const CacheShape& shape)
    : head_dim_(shape.head_dim),
      type_(shape.type),
      renumber_(shape.renumber),
      carried_(static_cast<std::size_t>(shape.n_carried)) {}

void KVHead::keys_as_float(std::int64_t first, std::int64_t n, float* out) const {
  const std::int64_t n_thin = std::clamp<std::int64_t>(n_thin_ - first, 0, n);
  if (n_thin > 0) {
    const auto width = static_cast<std::int64_t>(channels_.size());
    AlignedVector<float> stored(static_cast<std::size_t>(n_thin * width));
    to_float(thin_keys_.data() + static_cast<std::size_t>(first) * thin_row_bytes(), type_, stored.data(),
             n_thin * width);
    spread_channels(stored.data(), DType::f32, n_thin, head_dim_, channels_, out);
  }
  const std::int64_t from = std::max<std::int64_t>(0, first - n_thin_);
  to_float(keys_.data() + static_cast<std::size_t>(from) * row_bytes(), type_, out + n_thin * head_dim_,
           (n - n_thin) * head_dim_);
}

void KVHead::copy_key(std::int64_t i, std::byte* out) const {
  if (i < n_thin_) {
    spread_channels(thin_keys_.data() + static_cast<std::size_t>(i) * thin_row_bytes(), type_, 1, head_dim_, channels_,
                    out);
  } else {
    std::memcpy(out, keys_.data() + static_cast<std::size_t>(i - n_thin_) * row_bytes(), row_bytes());
  }
}

void KVHead::write_key(std::int64_t i, const float* key) {
  if (i >= n_thin_) {
    from_float(key, full_key(i), type_, head_dim_);
    return;
  }
  std::vector<float> stored(channels_.size());
  take_channels(key, DType::f32, 1, head_dim_, channels_, stored.data());
  from_float(stored.data(), thin_keys_.data() + static_cast<std::size_t>(i) * thin_row_bytes(), type_,
             static_cast<std::int64_t>(stored.size()));
}

void KVHead::thin_keys(std::span<const std::int32_t> channels) {
  if (n_thin_ == 0) channels_.assign(channels.begin(), channels.end());
  const std::int64_t n_full = size() - n_thin_;
  thin_keys_.resize(static_cast<std::size_t>(size()) * thin_row_bytes());
  take_channels(keys_.data(), type_, n_full, head_dim_, channels_,
                thin_keys_.data() + static_cast<std::size_t>(n_thin_) * thin_row_bytes());
  keys_.resize(0);
  n_thin_ = size();
}

void KVHead::values_as_float(std::int64_t first, std::int64_t n, float* out) const {
  to_float(values_.data() + static_cast<std::size_t>(first) * row_bytes(), type_, out, n * head_dim_);
}

void KVHead::write_value(std::int64_t i, const float* value) {
  from_float(value, values_.data() + static_cast<std::size_t>(i) * row_bytes(), type_, head_dim_);
}

std::size_t KVHead::allocated_bytes() const {
  std::size_t bytes = keys_.allocated() + thin_keys_.allocated() + values_.allocated() +
                      (positions_.capacity() + slots_.capacity() + channels_.capacity()) * sizeof(std::int32_t);
  for (const auto& channel : carried_) bytes += channel.capacity() * sizeof(float);
  return bytes;
}

void KVHead::resize(std::int64_t n) {
  const auto size = static_cast<std::size_t>(n);
  if (n < n_thin_) {
    n_thin_ = n;
    thin_keys_.resize(size * thin_row_bytes());
  }
  keys_.resize((size - static_cast<std::size_t>(n_thin_)) * row_bytes());
  values_.resize(size * row_bytes());
  // Decoding grows by one token at a time: not by as little, nor to twice as much as std::vector would.
  constexpr std::size_t kStep = 128;
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
    std::memcpy(values_.data() + to * row_bytes(), from.values_.data() + at * row_bytes(), row_bytes());
    positions_[to] = from.positions_[at];
    if (renumber_) slots_.push_back(static_cast<std::int32_t>(from.rope_position(index)));
    for (std::size_t c = 0; c < carried_.size(); ++c) carried_[c][to] = from.carried_[c][at];
    ++to;
  }
}

void KVHead::keep(std::span<const std::int32_t> indices) {
  const auto n_thin =
      static_cast<std::size_t>(std::lower_bound(indices.begin(), indices.end(), n_thin_) - indices.begin());
  compact(thin_keys_.data(), thin_row_bytes(), indices.first(n_thin));
  compact(keys_.data(), row_bytes(), indices.subspan(n_thin), n_thin_);
  n_thin_ = static_cast<std::int64_t>(n_thin);
  compact(values_.data(), row_bytes(), indices);
  compact(positions_, indices);
  if (!slots_.empty()) compact(slots_, indices);
  for (auto& channel : carried_) compact(channel, indices);
  thin_keys_.resize(n_thin * thin_row_bytes());
  keys_.resize((indices.size() - n_thin) * row_bytes());
  values_.resize(indices.size() * row_bytes());
}

KVCache::KVCache(const CacheShape& shape, Rope rope) : shape_(shape), rope_(std::move(rope)) {
  const std::int64_t n_heads = shape.n_layers * shape.n_kv_heads;
  heads_.reserve(static_cast<std::size_t>(n_heads));
  for (std::int64_t i = 0; i < n_heads; ++i) heads_.emplace_back(shape);
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
  it.write_value(i, value);
}

void KVCache::keep(std::int64_t layer, std::int64_t kv_head, std::span<const std::int32_t> indices) {
  KVHead& it = head(layer, kv_head);
  if (static_cast<std::int64_t>(indices.size()) == it.size()) return;
  tracked(it, [&] { it.keep(indices); });
  if (shape_.renumber) turn_back(it, indices);
}

void KVCache::turn_back(KVHead& head, std::span<const std::int32_t> old_slots) {
  constexpr std::int64_t kRows = 64;
  const std::int64_t n = head.size();
  if (n == 0) return;
  rope_.prepare(old_slots.back() - n + 2);  // gaps only grow: the last is the widest
  parallel_for((n + kRows - 1) / kRows, [&](std::int64_t item) {
    AlignedVector<float> key(static_cast<std::size_t>(shape_.head_dim));
    for (std::int64_t j = item * kRows; j < std::min(n, (item + 1) * kRows); ++j) {
      const std::int64_t gap = old_slots[static_cast<std::size_t>(j)] - j;
      if (gap == 0) continue;
      head.keys_as_float(j, 1, key.data());
      rope_.undo(key.data(), gap);
      head.write_key(j, key.data());
    }
  });
}

void KVCache::truncate(std::int64_t layer, std::int64_t kv_head, std::int64_t n) {
  KVHead& it = head(layer, kv_head);
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

std::size_t KVCache::bytes_per_token(const CacheShape& shape) {
  const auto heads = static_cast<std::size_t>(shape.n_layers * shape.n_kv_heads);
  const std::size_t one = 2 * static_cast<std::size_t>(shape.head_dim) * size_of(shape.type) + sizeof(std::int32_t) +
                          static_cast<std::size_t>(shape.n_carried) * sizeof(float);
  return heads * one;
}

}  // namespace kvpress
