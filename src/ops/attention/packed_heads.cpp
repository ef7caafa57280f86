#include "ops/attention/packed_heads.h"

#include <algorithm>

#include "kvpress/base/threads.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

using Half = std::uint16_t;

/// Packed memory that is held at a time, in bytes: as many heads as fit, but one at least.
constexpr std::size_t kPackedBytes = std::size_t{16} << 20;

/// Whether tiles can read the keys where they are.
bool keys_stand_in_place(const HeadKV& kv) { return kv.older.n == 0 && kv.n_thin == 0; }

/// Numbers of float32, for a part of a head at a time.
float* scratch(std::int64_t n) {
  thread_local AlignedVector<float> numbers;
  numbers.resize(static_cast<std::size_t>(n));
  return numbers.data();
}

}  // namespace

PackedHeads::PackedHeads(const TileKernels& kernels, const AttentionArgs& args, std::int64_t first,
                         AlignedVector<Half>& memory, bool with_values)
    : kernels_(kernels), args_(args), first_(first), memory_(memory), with_values_(with_values) {
  std::size_t end = 0;
  for (auto h = static_cast<std::size_t>(first); h < args.kv.size(); ++h) {
    const Place next = place(args.kv[h], end);
    if (!places_.empty() && next.end * sizeof(Half) > kPackedBytes) break;
    places_.push_back(next);
    end = next.end;
  }
  memory_.resize(end);
}

PackedHeads::Place PackedHeads::place(const HeadKV& kv, std::size_t begin) const {
  const std::int64_t n = (kv.n + kTileKeys - 1) / kTileKeys * kTileKeys;
  const std::int64_t channels = tiled_head_dim(args_.head_dim);
  Place at = {begin, 0, 0, 0};
  at.last_keys = at.values + static_cast<std::size_t>(with_values_ ? n * channels : 0);
  at.keys =
      at.last_keys + static_cast<std::size_t>((kTileKeys + 1) * channels);  // tiles read beyond the last row's end
  at.end = at.keys + (keys_stand_in_place(kv) ? 0 : static_cast<std::size_t>(n * args_.head_dim));
  at.end = (at.end + kAlignment - 1) / kAlignment * kAlignment;
  return at;
}

void PackedHeads::pack() {
  struct Part {
    std::int64_t head, first;
  };
  std::vector<Part> parts;
  for (std::int64_t h = 0; h < n_heads(); ++h) {
    for (std::int64_t first = 0; first < kv(h).n; first += kTileUnit) parts.push_back({h, first});
  }
  parallel_for(static_cast<std::int64_t>(parts.size()), [&](std::int64_t i) {
    if (with_values_) pack_values(parts[i].head, parts[i].first);
    pack_keys(parts[i].head, parts[i].first);
  });
  for (std::int64_t h = 0; h < n_heads(); ++h) pack_last_keys(h);
}

TileHead PackedHeads::head(std::int64_t h) const {
  const Place& at = places_[static_cast<std::size_t>(h)];
  const void* const keys = keys_stand_in_place(kv(h)) ? kv(h).keys : memory_.data() + at.keys;
  return {static_cast<const Half*>(keys), memory_.data() + at.last_keys, n_in_place(h), memory_.data() + at.values};
}

/// Where tiles read beyond a row's end, the last rows are not for them.
std::int64_t PackedHeads::n_in_place(std::int64_t h) const {
  const std::int64_t n = args_.head_dim % 32 == 0 ? kv(h).n : kv(h).n - 1;
  return n / kTileKeys * kTileKeys;
}

void PackedHeads::pack_values(std::int64_t h, std::int64_t first) {
  const std::int64_t n = std::min(kTileUnit, kv(h).n - first);
  const std::int64_t d = args_.head_dim;
  Half* const to = memory_.data() + places_[static_cast<std::size_t>(h)].values + first * tiled_head_dim(d);
  if (kv(h).older.n == 0) {
    kernels_.pack_values(static_cast<const Half*>(kv(h).values) + first * d, n, d, to);
    return;
  }
  thread_local AlignedVector<Half> rounded;
  rounded.resize(static_cast<std::size_t>(n * d));
  float* const numbers = scratch(n * d);
  values_to_float(kv(h), args_.kv_type, d, first, n, numbers);
  from_float(numbers, rounded.data(), DType::bf16, n * d);
  kernels_.pack_values(rounded.data(), n, d, to);
}

/// Those that are not as tiles read them.
void PackedHeads::pack_keys(std::int64_t h, std::int64_t first) {
  if (keys_stand_in_place(kv(h))) return;
  const std::int64_t n = std::min(kTileUnit, kv(h).n - first);
  const std::int64_t d = args_.head_dim;
  float* const numbers = scratch(n * d);
  keys_to_float(kv(h), args_.kv_type, d, first, n, numbers);
  from_float(numbers, memory_.data() + places_[static_cast<std::size_t>(h)].keys + first * d, DType::bf16, n * d);
}

void PackedHeads::pack_last_keys(std::int64_t h) {
  const Place& at = places_[static_cast<std::size_t>(h)];
  Half* const to = memory_.data() + at.last_keys;
  std::fill_n(to, at.keys - at.last_keys, Half{0});
  std::copy_n(head(h).keys + n_in_place(h) * args_.head_dim, (kv(h).n - n_in_place(h)) * args_.head_dim, to);
}

}  // namespace kvpress
