// The parts of a KV head, for files: how much there is of each, and where it stands.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kvpress/cache/kv_cache.h"

namespace kvpress {
namespace {

std::string_view file_type(DType type) {
  switch (type) {
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::f16:
      return "F16";
  }
  return "?";
}

template <typename T>
std::span<std::byte> bytes_of(std::vector<T>& values) {
  return std::as_writable_bytes(std::span(values));
}

}  // namespace

std::string HeadExtents::problem(const CacheShape& shape) const {
  if (n < 0 || n_groups < 0 || n_thin_groups < 0 || n_thin < 0) return "a count is negative";
  if (n_groups > n / kKVGroup) return fmt::format("{} groups of {} are more than {} entries", n_groups, kKVGroup, n);
  if (n_groups > 0 && shape.format.bits == 0) return "its entries are quantized, and its format does not quantize";
  if (n_thin_groups > n_groups || n_thin > n - n_groups * kKVGroup) return "more keys are thin than there are";
  // Thin are the oldest.
  if (n_thin > 0 && n_thin_groups < n_groups) return "newer keys are thin, and older ones are not";
  const bool any_thin = n_thin > 0 || n_thin_groups > 0;
  if (any_thin && channels.empty()) return "the channels of thin keys are missing";
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const std::int32_t before = i == 0 ? -1 : channels[i - 1];
    if (channels[i] <= before || channels[i] >= shape.head_dim) return "the channels of thin keys do not ascend";
  }
  return "";
}

HeadExtents KVHead::extents() const { return {size(), older_.n_groups(), older_.n_thin_groups(), n_thin_, channels_}; }

KVHead::KVHead(const CacheShape& shape, HeadExtents extents) : KVHead(shape) {
  channels_ = std::move(extents.channels);
  older_.extend(extents.n_groups, extents.n_thin_groups, channels_.size());
  n_tail_ = extents.n - older_.size();
  n_thin_ = extents.n_thin;
  thin_keys_.resize(static_cast<std::size_t>(n_thin_) * thin_row_bytes());
  keys_.resize(static_cast<std::size_t>(n_tail_ - n_thin_) * row_bytes());
  values_.resize(static_cast<std::size_t>(n_tail_) * row_bytes());
  positions_.resize(static_cast<std::size_t>(extents.n));
  for (auto& channel : carried_) channel.resize(positions_.size(), 0.0f);
}

std::vector<HeadPart<const std::byte>> KVHead::parts() const {
  std::vector<HeadPart<const std::byte>> parts;
  for (const auto& it : const_cast<KVHead*>(this)->parts()) {
    parts.push_back({it.name, it.type, it.rows, it.cols, it.data});
  }
  return parts;
}

std::vector<HeadPart<std::byte>> KVHead::parts() {
  std::vector<HeadPart<std::byte>> parts;
  const auto add = [&](std::string name, std::string_view type, std::int64_t rows, std::int64_t cols, std::byte* data,
                       std::size_t row_bytes) {
    if (rows == 0) return;
    parts.push_back({std::move(name), type, rows, cols, {data, static_cast<std::size_t>(rows) * row_bytes}});
  };
  const auto n_channels = static_cast<std::int64_t>(channels_.size());
  const auto add_blocks = [&](std::string name, const QuantizedEntries::Blocks& blocks) {
    add(std::move(name), "U8", blocks.n, static_cast<std::int64_t>(blocks.bytes), blocks.data, blocks.bytes);
  };
  add("keys", file_type(type_), n_tail_ - n_thin_, head_dim_, keys_.data(), row_bytes());
  add("thin_keys", file_type(type_), n_thin_, n_channels, thin_keys_.data(), thin_row_bytes());
  add("values", file_type(type_), n_tail_, head_dim_, values_.data(), row_bytes());
  add_blocks("quantized_keys", older_.full_keys());
  add_blocks("quantized_thin_keys", older_.thin_keys(channels_.size()));
  add_blocks("quantized_values", older_.values());
  add("positions", "I32", size(), 0, bytes_of(positions_).data(), sizeof(std::int32_t));
  for (std::size_t c = 0; c < carried_.size(); ++c) {
    add(fmt::format("carried.{}", c), "F32", size(), 0, bytes_of(carried_[c]).data(), sizeof(float));
  }
  return parts;
}

void KVCache::replace(std::int64_t layer, std::int64_t kv_head, KVHead with) {
  KVHead& it = head(layer, kv_head);
  allocated_ -= it.allocated_bytes();
  it = std::move(with);
  allocated_ += it.allocated_bytes();
  peak_ = std::max(peak_, allocated_);
}

}  // namespace kvpress
