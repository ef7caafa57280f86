// Byte-pair encoding of one word: starts with one token per byte or character and merges neighbouring pairs in the
// order of rank.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace kvpress {

/// Caches the ids of words. Not thread-safe.
class WordCache {
 public:
  static constexpr std::size_t kMaxWordBytes = 64;

  /// Appends the ids of the word and returns true if it is in the cache.
  bool append(std::string_view word, std::vector<std::int32_t>& ids) const;
  void store(std::string_view word, const std::int32_t* ids, std::size_t n_ids);

 private:
  struct Entry {
    std::uint32_t word_begin = 0, ids_begin = 0;
    std::uint16_t word_length = 0, n_ids = 0;
    std::uint32_t tag = 0;  ///< part of the hash, compared before the word; 0 if empty
  };
  static constexpr std::size_t kSlots = 1 << 16;
  static constexpr std::size_t kMaxEntries = kSlots / 2;
  bool holds(const Entry& entry, std::uint32_t tag, std::string_view word) const;

  std::vector<Entry> slots_;
  std::string words_;
  std::vector<std::int32_t> ids_;
  std::size_t n_entries_ = 0;
};

class BytePairEncoder {
 public:
  BytePairEncoder();

  /// Sets the id of a byte. Other bytes are dropped, as in the reference, but for what the next three say.
  void set_byte(unsigned char byte, std::int32_t id) { byte_ids_[byte] = id; }
  /// A byte without an id that becomes these, at most two.
  void set_fallback(unsigned char byte, std::vector<std::int32_t> ids) { fallbacks_[byte] = std::move(ids); }
  /// Bytes without anything become `id`; if `fuse`, neighbouring ones become one.
  void set_unknown(std::int32_t id, bool fuse) {
    unknown_ = id;
    fuses_unknown_ = fuse;
  }
  /// Makes words of characters instead of bytes; what the above says of bytes then holds for characters.
  void use_characters() { of_characters_ = true; }
  void set_character(char32_t code, std::int32_t id);
  /// A character without an id becomes the tokens of its bytes, if all of them have one.
  void set_byte_token(unsigned char byte, std::int32_t id) { byte_ids_[byte] = id; }
  /// Ids from `begin` on stand for these characters, which have no token but occur in tokens: where one is left after
  /// all merges, it becomes what a character without an id does.
  void set_tokenless(std::int32_t begin, std::u32string codes) {
    tokenless_begin_ = begin;
    tokenless_ = std::move(codes);
  }
  /// A merge joins a token that ends with `last` to one that begins with `first`. Of characters only: where no merge
  /// joins two neighbours, a long word is cut. Without any call none is.
  void add_joint(char32_t last, char32_t first);
  /// encode() throws Error with `message` for a byte without anything.
  void refuse_unknown(std::string message) { no_unknown_ = std::move(message); }

  void reserve(std::size_t n_merges);
  /// `left` `right` becomes `merged`; lower ranks are merged first. Adding a pair again replaces its rank.
  void add_merge(std::int32_t left, std::int32_t right, std::int32_t rank, std::int32_t merged);

  /// Appends the ids of `word`, in O(n log n). Thread-safe if each thread uses its own cache.
  void encode(std::string_view word, WordCache& cache, std::vector<std::int32_t>& ids) const;

 private:
  struct Merge {
    std::uint64_t pair = kNoPair;
    std::int32_t rank = 0, merged = 0;
  };
  static constexpr std::uint64_t kNoPair = ~std::uint64_t{0};

  const Merge* find(std::int32_t left, std::int32_t right) const;
  void grow_table();
  Merge& slot_of(std::uint64_t pair);
  void encode_part(std::string_view word, WordCache& cache, std::vector<std::int32_t>& ids) const;
  void encode_cut(std::string_view word, WordCache& cache, std::vector<std::int32_t>& ids) const;
  std::int32_t id_of(char32_t code) const;
  bool may_join(char32_t last, char32_t first) const;
  void replace_tokenless(std::vector<std::int32_t>& ids, std::size_t begin) const;
  void merge_short(std::string_view word, std::vector<std::int32_t>& ids) const;
  void merge_long(std::string_view word, std::vector<std::int32_t>& ids) const;
  /// Calls put(id) for what the bytes or characters of a word become before any merge.
  template <typename Put>
  void for_each_token(std::string_view word, Put put) const;
  template <typename Put>
  void put_bytes_of(std::string_view character, Put put, bool& unknown) const;

  std::array<std::int32_t, 256> byte_ids_;
  std::array<std::vector<std::int32_t>, 256> fallbacks_;
  std::int32_t unknown_ = -1;
  bool fuses_unknown_ = false;
  std::string no_unknown_;
  bool of_characters_ = false;
  std::array<std::int32_t, 128> ascii_ids_;
  std::unordered_map<char32_t, std::int32_t> character_ids_;  ///< but those of ASCII
  std::int32_t tokenless_begin_ = std::numeric_limits<std::int32_t>::max();
  std::u32string tokenless_;
  std::vector<std::uint64_t> joints_;  ///< a bit for each pair's hash: one that is not set tells that none joins them
  std::vector<Merge> table_;
  std::size_t n_merges_ = 0;
};

}  // namespace kvpress
