#include "kvpress/cache/quantized_entries.h"

#include <algorithm>
#include <cstring>

#include "ops/channels.h"

namespace kvpress {

void QuantizedEntries::resize(std::size_t n_channels) {
  thin_keys_.resize(static_cast<std::size_t>(n_thin_groups_) * thin_key_bytes(n_channels));
  keys_.resize(static_cast<std::size_t>(n_groups_ - n_thin_groups_) * key_bytes());
  values_.resize(static_cast<std::size_t>(n_groups_) * value_bytes());
}

void QuantizedEntries::extend(std::int64_t n, std::int64_t n_thin, std::size_t n_channels) {
  n_groups_ += n;
  n_thin_groups_ += n_thin;
  resize(n_channels);
}

void QuantizedEntries::write(std::int64_t group, const float* keys, const float* values,
                             std::span<const std::int32_t> channels) {
  quantize_values(values, head_dim_, bits_, values_.data() + static_cast<std::size_t>(group) * value_bytes());
  if (group >= n_thin_groups_) {
    quantize_keys(keys, head_dim_, bits_,
                  keys_.data() + static_cast<std::size_t>(group - n_thin_groups_) * key_bytes());
    return;
  }
  AlignedVector<float> thin(static_cast<std::size_t>(kKVGroup) * channels.size());
  take_channels(keys, DType::f32, kKVGroup, head_dim_, channels, thin.data());
  quantize_keys(thin.data(), static_cast<std::int64_t>(channels.size()), bits_,
                thin_keys_.data() + static_cast<std::size_t>(group) * thin_key_bytes(channels.size()));
}

void QuantizedEntries::write_value(std::int64_t i, const float* value) {
  quantize_value(value, head_dim_, bits_, i % kKVGroup,
                 values_.data() + static_cast<std::size_t>(i / kKVGroup) * value_bytes());
}

void QuantizedEntries::drop_first(std::int64_t n, std::size_t n_channels) {
  const auto drop = [](PageBuffer& buffer, std::int64_t dropped, std::int64_t groups, std::size_t bytes) {
    const auto left = static_cast<std::size_t>(groups - dropped) * bytes;
    if (left > 0) std::memmove(buffer.data(), buffer.data() + static_cast<std::size_t>(dropped) * bytes, left);
  };
  const std::int64_t n_thin = std::min(n, n_thin_groups_);
  drop(thin_keys_, n_thin, n_thin_groups_, thin_key_bytes(n_channels));
  drop(keys_, n - n_thin, n_groups_ - n_thin_groups_, key_bytes());
  drop(values_, n, n_groups_, value_bytes());
  n_groups_ -= n;
  n_thin_groups_ -= n_thin;
  resize(n_channels);
}

void QuantizedEntries::truncate(std::int64_t n, std::size_t n_channels) {
  n_groups_ = n;
  n_thin_groups_ = std::min(n_thin_groups_, n);
  resize(n_channels);
}

void QuantizedEntries::thin_keys(std::span<const std::int32_t> channels) {
  const std::int64_t n_full = n_groups_ - n_thin_groups_;
  const std::int64_t first = n_thin_groups_;
  const std::size_t thin_bytes = thin_key_bytes(channels.size());
  thin_keys_.resize(static_cast<std::size_t>(n_groups_) * thin_bytes);
  for (std::int64_t g = 0; g < n_full; ++g) {
    take_lines(keys_.data() + static_cast<std::size_t>(g) * key_bytes(), head_dim_, bits_, channels,
               thin_keys_.data() + static_cast<std::size_t>(first + g) * thin_bytes);
  }
  n_thin_groups_ = n_groups_;
  keys_.resize(0);
}

}  // namespace kvpress
