// KV heads as tiles read them: values packed, keys where they stand in the cache if they can be.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/ops/attention/attention.h"
#include "ops/attention/attention_tiles.h"

namespace kvpress {

/// Some heads, packed.
class PackedHeads {
 public:
  /// Memory for as many heads from `first` on as are held at a time, one at least.
  PackedHeads(const TileKernels& kernels, const AttentionArgs& args, std::int64_t first,
              AlignedVector<std::uint16_t>& memory, bool with_values = true);

  std::int64_t n_heads() const { return static_cast<std::int64_t>(places_.size()); }
  /// Uses every thread.
  void pack();
  /// Counted from the first.
  TileHead head(std::int64_t h) const;

 private:
  /// Where the parts of a head lie, in numbers of two bytes.
  struct Place {
    std::size_t values, last_keys, keys, end;
  };

  Place place(const HeadKV& kv, std::size_t begin) const;
  const HeadKV& kv(std::int64_t h) const { return args_.kv[first_ + h]; }
  std::int64_t n_in_place(std::int64_t h) const;
  void pack_values(std::int64_t h, std::int64_t first);
  void pack_keys(std::int64_t h, std::int64_t first);
  void pack_last_keys(std::int64_t h);

  const TileKernels& kernels_;
  const AttentionArgs& args_;
  std::int64_t first_;
  AlignedVector<std::uint16_t>& memory_;
  bool with_values_;
  std::vector<Place> places_;
};

}  // namespace kvpress
