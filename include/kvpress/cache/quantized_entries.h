// The entries of a KV head that are kept in 8 or 4 bits, group by group (ops/quantized_kv.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kvpress/base/memory.h"
#include "kvpress/ops/attention/quantized_kv.h"

namespace kvpress {

/// Whole groups, oldest first. The keys of the first groups may be thin: without all channels but `channels`, which
/// are the head's.
class QuantizedEntries {
 public:
  /// bits 0: there will be none.
  QuantizedEntries(std::int64_t head_dim, int bits) : head_dim_(head_dim), bits_(bits) {}

  std::int64_t n_groups() const { return n_groups_; }
  std::int64_t n_thin_groups() const { return n_thin_groups_; }
  std::int64_t size() const { return n_groups_ * kKVGroup; }
  QuantizedKV view() const {
    return {keys_.data(), values_.data(), size(), bits_, thin_keys_.data(), n_thin_groups_ * kKVGroup};
  }
  std::size_t allocated() const { return keys_.allocated() + thin_keys_.allocated() + values_.allocated(); }

  /// Room for more groups, to be filled by write(); the first n_thin of them are thin, which no full one may precede.
  void extend(std::int64_t n, std::int64_t n_thin, std::size_t n_channels);
  /// The blocks as they lie in memory, and the bytes of each: of full keys, thin keys and values.
  struct Blocks {
    std::byte* data;
    std::int64_t n;
    std::size_t bytes;
  };
  Blocks full_keys() { return {keys_.data(), n_groups_ - n_thin_groups_, key_bytes()}; }
  Blocks thin_keys(std::size_t n_channels) { return {thin_keys_.data(), n_thin_groups_, thin_key_bytes(n_channels)}; }
  Blocks values() { return {values_.data(), n_groups_, value_bytes()}; }

  /// Quantizes a group: keys and values [kKVGroup, head_dim]. Groups may be written in parallel.
  void write(std::int64_t group, const float* keys, const float* values, std::span<const std::int32_t> channels);
  /// Entry i's value anew.
  void write_value(std::int64_t i, const float* value);

  /// Drops the first n groups.
  void drop_first(std::int64_t n, std::size_t n_channels);
  /// Drops all groups but the first n.
  void truncate(std::int64_t n, std::size_t n_channels);
  /// Makes all groups thin; nothing is quantized anew.
  void thin_keys(std::span<const std::int32_t> channels);

 private:
  std::size_t key_bytes() const { return kv_block_bytes(head_dim_, bits_); }
  std::size_t thin_key_bytes(std::size_t n_channels) const {
    return kv_block_bytes(static_cast<std::int64_t>(n_channels), bits_);
  }
  std::size_t value_bytes() const { return kv_block_bytes(value_lines(head_dim_), bits_); }
  void resize(std::size_t n_channels);

  std::int64_t head_dim_;
  int bits_;
  std::int64_t n_groups_ = 0;
  std::int64_t n_thin_groups_ = 0;
  PageBuffer keys_;  // of the groups from n_thin_groups_ on
  PageBuffer thin_keys_;
  PageBuffer values_;
};

}  // namespace kvpress
