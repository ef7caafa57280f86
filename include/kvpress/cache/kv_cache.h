// The KV cache: for every layer and KV head the keys, values and positions of the tokens it still holds. Heads may hold
// different tokens and different numbers of them. Evicting really frees memory.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/cache/cache_format.h"
#include "kvpress/cache/change_log.h"
#include "kvpress/cache/quantized_entries.h"
#include "kvpress/ops/attention/attention.h"
#include "kvpress/ops/rope.h"

namespace kvpress {

struct CacheShape {
  std::int64_t n_layers = 0;
  std::int64_t n_kv_heads = 0;
  std::int64_t head_dim = 0;
  CacheFormat format = {};
  std::int64_t n_carried = 0;  ///< floats carried beside each token
  /// Whether positions are counted in the cache: entry j of a head always has RoPE position j, so what follows an
  /// eviction is turned back over the gap, and a new token's position is the head's size.
  bool renumber = false;

  bool operator==(const CacheShape&) const = default;
};

/// How many entries of each kind a head holds.
struct HeadExtents {
  std::int64_t n = 0;                  ///< entries
  std::int64_t n_groups = 0;           ///< of kKVGroup entries each, the oldest, that are quantized
  std::int64_t n_thin_groups = 0;      ///< of these, the first, whose keys are thin
  std::int64_t n_thin = 0;             ///< of the entries that are not quantized, the first, whose keys are thin
  std::vector<std::int32_t> channels;  ///< of thin keys, ascending

  /// Why no head of this shape can hold that; empty if one can.
  std::string problem(const CacheShape& shape) const;
};

/// A part of what a head holds, row-major, as it stands in memory. Byte is std::byte, or const.
template <typename Byte>
struct HeadPart {
  std::string name;       ///< "keys", "values", "quantized_keys", ...
  std::string_view type;  ///< as files name it: "F32", "BF16", "F16", "I32", "U8"
  std::int64_t rows = 0;  ///< at least 1: what is empty is no part
  std::int64_t cols = 0;  ///< 0: the part has one axis
  std::span<Byte> data;
};

/// What one KV head of one layer holds: n tokens, in the order of their positions. Keys and values are [n, head_dim],
/// contiguous, in the cache's type; keys carry the RoPE of rope_position(). The oldest entries may be quantized, and
/// the oldest keys thin: stored without some of their channels, which count as 0.
class KVHead {
 public:
  explicit KVHead(const CacheShape& shape);

  std::int64_t size() const { return static_cast<std::int64_t>(positions_.size()); }
  DType type() const { return type_; }
  /// For attention.
  HeadKV view() const {
    return {keys_.data(), values_.data(), size(), thin_keys_.data(), n_thin_, channels_, older_.view()};
  }
  /// How many of the oldest entries are quantized.
  std::int64_t n_quantized() const { return older_.size(); }
  /// How many of the oldest keys are thin, and the channels that those keep, ascending.
  std::int64_t n_thin() const { return n_thin_ > 0 ? older_.size() + n_thin_ : older_.view().n_thin; }
  std::span<const std::int32_t> channels() const { return channels_; }
  /// Places in the text, whatever RoPE the keys carry.
  std::span<const std::int32_t> positions() const { return positions_; }
  /// The position whose RoPE key j carries: its place in the text or, in a renumbered cache, in the head.
  std::int64_t rope_position(std::int64_t j) const {
    if (!renumber_) return positions_[j];
    return slots_.empty() ? j : slots_[j];
  }

  /// What presses keep beside each token (an accumulated attention, a score): written by them, 0 for a new token,
  /// evicted with it. `channel` is in [0, n_carried).
  std::span<float> carried(std::int64_t channel) { return carried_[channel]; }
  std::span<const float> carried(std::int64_t channel) const { return carried_[channel]; }

  /// Rows [first, first + n) of the keys or values, converted to float32.
  void keys_as_float(std::int64_t first, std::int64_t n, float* out) const {
    keys_to_float(view(), type_, head_dim_, first, n, out);
  }
  void values_as_float(std::int64_t first, std::int64_t n, float* out) const {
    values_to_float(view(), type_, head_dim_, first, n, out);
  }

  /// Bytes really held, in whole pages for keys and values.
  std::size_t allocated_bytes() const;

  /// For files: how many entries it holds, and all that it holds, in parts. Channels are in the extents alone.
  HeadExtents extents() const;
  std::vector<HeadPart<const std::byte>> parts() const;
  std::vector<HeadPart<std::byte>> parts();
  /// A head with room for entries, whose parts() are then filled. The extents must have no problem().
  KVHead(const CacheShape& shape, HeadExtents extents);

  void write_value(std::int64_t i, const float* value);

  /// Copies the entries of another head at `indices` behind its own: for presses that look at parts of a cache.
  void append(const KVHead& from, std::span<const std::int32_t> indices);
  /// Drops all entries but those at `indices` (ascending) and gives their memory back. Keys stay as they are: for parts
  /// of a cache; a cache's own heads are kept by KVCache::keep().
  void keep(std::span<const std::int32_t> indices) { keep(indices, {}); }

 private:
  friend class KVCache;
  /// Changes the key that comes to stand at j.
  using TurnKey = std::function<void(std::int64_t j, float* key)>;

  void extend(std::int64_t n, std::int64_t first_position);
  void store_value(std::int64_t i, const float* value);
  /// Drops the first n entries, but of those that are quantized only whole groups.
  void drop_front(std::int64_t n);
  void resize(std::int64_t n);
  void thin_keys(std::span<const std::int32_t> channels);
  /// Of an entry that is not quantized.
  void write_key(std::int64_t i, const float* key);
  /// Key or value i in full, in the cache's type.
  void copy_key(std::int64_t i, std::byte* out) const;
  void copy_value(std::int64_t i, std::byte* out) const;
  /// keep(); of those that were quantized, keys are turned before they are quantized anew.
  void keep(std::span<const std::int32_t> indices, const TurnKey& turn);
  void keep_quantized(std::span<const std::int32_t> indices, const TurnKey& turn);
  /// Puts rows before all that are not quantized; the keys of the first n_thin lack all channels but the head's.
  void prepend(const float* keys, const float* values, std::int64_t n, std::int64_t n_thin);
  /// Quantizing the oldest that are not yet: how many groups there are to do, beside `residual` others; room for them;
  /// each of them; and dropping what they were.
  std::int64_t n_groups_due(std::int64_t residual) const;
  void extend_quantized(std::int64_t n_groups);
  void quantize(std::int64_t i_due, std::int64_t n_groups);
  void drop_oldest(std::int64_t n);
  std::size_t row_bytes() const { return static_cast<std::size_t>(head_dim_) * size_of(type_); }
  std::size_t thin_row_bytes() const { return channels_.size() * size_of(type_); }
  /// Of entry i of those that are not quantized, where all keys and values below are counted from.
  std::byte* full_key(std::int64_t i) { return keys_.data() + static_cast<std::size_t>(i - n_thin_) * row_bytes(); }
  std::byte* thin_key(std::int64_t i) { return thin_keys_.data() + static_cast<std::size_t>(i) * thin_row_bytes(); }
  std::byte* value(std::int64_t i) { return values_.data() + static_cast<std::size_t>(i) * row_bytes(); }

  std::int64_t head_dim_;
  DType type_;
  bool renumber_;
  QuantizedEntries older_;              // the oldest entries; those that follow are not quantized:
  PageBuffer keys_;                     // of the entries from n_thin_ on
  PageBuffer thin_keys_;                // of those before
  std::int64_t n_tail_ = 0;             // entries that are not quantized
  std::int64_t n_thin_ = 0;             // of those
  std::vector<std::int32_t> channels_;  // of the thin keys
  PageBuffer values_;
  std::vector<std::int32_t> positions_;
  std::vector<std::int32_t> slots_;          // of a part of a renumbered head: where its entries stand there
  std::vector<std::vector<float>> carried_;  // [n_carried][n]
  ChangeLog changes_;                        // of entries that were there before
};

/// Where a cache stood: KVCache::mark(). A small value, good for that cache and its copies.
class CacheMark {
 private:
  friend class KVCache;
  struct Head {
    std::int64_t n, n_quantized;
    std::uint64_t time;
  };
  std::vector<Head> heads_;
};

/// A copy is deep: what happens to one is not seen by the other.
class KVCache {
 public:
  /// `ropes` are the model's, needed to renumber.
  explicit KVCache(const CacheShape& shape, LayerRopes ropes = {});
  KVCache(const KVCache& other);
  KVCache& operator=(const KVCache& other);
  KVCache(KVCache&&) noexcept = default;
  KVCache& operator=(KVCache&&) noexcept = default;
  ~KVCache() = default;

  const CacheShape& shape() const { return shape_; }
  const KVHead& head(std::int64_t layer, std::int64_t kv_head) const { return heads_[index(layer, kv_head)]; }
  KVHead& head(std::int64_t layer, std::int64_t kv_head) { return heads_[index(layer, kv_head)]; }

  /// The RoPE position of a head's next token, whose place in the text is `place`.
  std::int64_t next_position(std::int64_t layer, std::int64_t kv_head, std::int64_t place) const {
    return shape_.renumber ? head(layer, kv_head).size() : place;
  }

  /// Room for n more tokens, of positions first_position, first_position + 1, ..., in every head of a layer. Their
  /// keys and values are then written through write_row(). Throws Error when memory runs out.
  void extend(std::int64_t layer, std::int64_t n, std::int64_t first_position);
  /// Writes the key and value of entry `i` of a head from float32. Heads and entries may be written in parallel.
  void write_row(std::int64_t layer, std::int64_t kv_head, std::int64_t i, const float* key, const float* value);

  /// Drops all entries of a head but those at `indices` (ascending) and gives their memory back. A renumbered cache's
  /// keys are turned to their new places, in float32.
  void keep(std::int64_t layer, std::int64_t kv_head, std::span<const std::int32_t> indices);

  /// Quantizes what the format has quantized by now: to be called when nothing more is written or evicted for a while,
  /// such as after a layer's turn.
  void settle(std::int64_t layer);

  /// Where every head stands now, to come back to.
  CacheMark mark() const;
  /// Takes away what was added after the mark, in every head, and gives its memory back: the cache reads as it did.
  /// Throws std::logic_error, and changes nothing, when an entry before the mark was evicted, rewritten or rounded
  /// (quantized) since, or the mark is of a cache of another shape. What presses carry beside older entries is not
  /// brought back. Marks that were taken before `mark` stay good; later ones do not.
  void rewind(const CacheMark& mark);

  /// Takes away every entry whose place in the text is `place` or later, in all layers.
  void drop_from(std::int64_t place);
  /// Takes away a layer's entries of places before `place`, for layers that look back no further. Of what is quantized
  /// whole groups only, so that nothing is rounded twice: up to 31 entries more may stay.
  void drop_before(std::int64_t layer, std::int64_t place);

  /// Drops all entries of a head but its first n and gives their memory back.
  void truncate(std::int64_t layer, std::int64_t kv_head, std::int64_t n);

  /// Takes away all but `channels` (ascending) of every key of a head and gives their memory back. What is thin already
  /// stays as it is: the channels of a head are chosen once.
  void thin_keys(std::int64_t layer, std::int64_t kv_head, std::span<const std::int32_t> channels);

  /// Puts a head, made for the cache's shape, in the place of another.
  void replace(std::int64_t layer, std::int64_t kv_head, KVHead with);

  /// Mean over layers and KV heads of the tokens held.
  double mean_tokens() const;
  /// The same, but an entry whose key has lost channels counts for the share of its numbers that is left.
  double mean_entries() const;
  /// Whether any entry is quantized.
  bool has_quantized() const;
  /// Bytes held now, and the most ever held.
  std::size_t allocated_bytes() const { return allocated_; }
  std::size_t peak_bytes() const { return peak_; }

  /// Bytes of one token in all layers and heads, without the rounding up to pages; of one that is quantized where the
  /// format quantizes.
  static std::size_t bytes_per_token(const CacheShape& shape);
  /// The most that a cache allocates whose heads hold n tokens on average, however they are shared out among the heads:
  /// whole pages included. For a budget of bytes.
  static std::size_t most_bytes(const CacheShape& shape, std::int64_t n);
  /// The largest n whose most_bytes() are within `bytes`; 0 when there is none.
  static std::int64_t tokens_within(const CacheShape& shape, std::size_t bytes);

 private:
  std::size_t index(std::int64_t layer, std::int64_t kv_head) const {
    return static_cast<std::size_t>(layer * shape_.n_kv_heads + kv_head);
  }
  void truncate(KVHead& head, std::int64_t n);
  /// Runs `change` on a head and keeps the totals right.
  template <typename Change>
  void tracked(KVHead& head, Change change);
  /// Turns the keys from `first` on back over the gaps.
  void turn_back(KVHead& head, const Rope& rope, std::span<const std::int32_t> old_slots, std::int64_t first);

  CacheShape shape_;
  LayerRopes ropes_;
  std::vector<KVHead> heads_;
  std::size_t allocated_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace kvpress
