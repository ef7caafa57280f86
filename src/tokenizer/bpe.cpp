#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <queue>
#include <utility>

#include "base/hash.h"
#include "kvpress/base/error.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

/// Up to this many bytes looking through all pairs each time beats keeping a heap.
constexpr std::size_t kShortWord = 32;

constexpr std::size_t kJointBits = 1 << 20;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
}

}  // namespace

bool WordCache::holds(const Entry& entry, std::uint32_t tag, std::string_view word) const {
  return entry.tag == tag && entry.word_length == word.size() &&
         std::string_view(words_).substr(entry.word_begin, entry.word_length) == word;
}

bool WordCache::append(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (slots_.empty()) return false;
  const std::uint64_t hash = hash_bytes(word);
  const auto tag = static_cast<std::uint32_t>(hash >> 32) | 1u;
  for (std::size_t slot = hash & (kSlots - 1); slots_[slot].tag != 0; slot = (slot + 1) & (kSlots - 1)) {
    const Entry& entry = slots_[slot];
    if (!holds(entry, tag, word)) continue;
    const std::int32_t* from = ids_.data() + entry.ids_begin;
    ids.insert(ids.end(), from, from + entry.n_ids);
    return true;
  }
  return false;
}

void WordCache::store(std::string_view word, const std::int32_t* ids, std::size_t n_ids) {
  if (slots_.empty() || n_entries_ == kMaxEntries) {  // full: begin anew, common words are soon back
    slots_.assign(kSlots, Entry{});
    words_.clear();
    ids_.clear();
    n_entries_ = 0;
  }
  const std::uint64_t hash = hash_bytes(word);
  std::size_t slot = hash & (kSlots - 1);
  while (slots_[slot].tag != 0) slot = (slot + 1) & (kSlots - 1);
  slots_[slot] = {static_cast<std::uint32_t>(words_.size()), static_cast<std::uint32_t>(ids_.size()),
                  static_cast<std::uint16_t>(word.size()), static_cast<std::uint16_t>(n_ids),
                  static_cast<std::uint32_t>(hash >> 32) | 1u};
  words_ += word;
  ids_.insert(ids_.end(), ids, ids + n_ids);
  ++n_entries_;
}

BytePairEncoder::BytePairEncoder() {
  byte_ids_.fill(-1);
  ascii_ids_.fill(-1);
}

void BytePairEncoder::set_character(char32_t code, std::int32_t id) {
  if (code < ascii_ids_.size()) {
    ascii_ids_[code] = id;
  } else {
    character_ids_[code] = id;
  }
}

std::int32_t BytePairEncoder::id_of(char32_t code) const {
  if (code < ascii_ids_.size()) return ascii_ids_[code];
  const auto found = character_ids_.find(code);
  return found == character_ids_.end() ? -1 : found->second;
}

void BytePairEncoder::add_joint(char32_t last, char32_t first) {
  if (joints_.empty()) joints_.resize(kJointBits / 64);
  const std::uint64_t bit = mix(static_cast<std::uint64_t>(last) << 32 | first) % kJointBits;
  joints_[bit / 64] |= std::uint64_t{1} << bit % 64;
}

bool BytePairEncoder::may_join(char32_t last, char32_t first) const {
  const std::uint64_t bit = mix(static_cast<std::uint64_t>(last) << 32 | first) % kJointBits;
  return (joints_[bit / 64] >> bit % 64 & 1) != 0;
}

void BytePairEncoder::reserve(std::size_t n_merges) {
  if (table_.empty()) table_.resize(std::bit_ceil(std::max<std::size_t>(16, n_merges * 2)));
}

BytePairEncoder::Merge& BytePairEncoder::slot_of(std::uint64_t pair) {
  std::size_t slot = mix(mix(pair)) & (table_.size() - 1);
  while (table_[slot].pair != kNoPair && table_[slot].pair != pair) slot = (slot + 1) & (table_.size() - 1);
  return table_[slot];
}

void BytePairEncoder::grow_table() {
  std::vector<Merge> old(std::max<std::size_t>(16, table_.size() * 2));
  old.swap(table_);
  for (const Merge& merge : old) {
    if (merge.pair != kNoPair) slot_of(merge.pair) = merge;
  }
}

void BytePairEncoder::add_merge(std::int32_t left, std::int32_t right, std::int32_t rank, std::int32_t merged) {
  if (table_.size() < 2 * (n_merges_ + 1)) grow_table();
  Merge& slot = slot_of(pair_key(left, right));
  if (slot.pair == kNoPair) ++n_merges_;
  slot = {pair_key(left, right), rank, merged};
}

const BytePairEncoder::Merge* BytePairEncoder::find(std::int32_t left, std::int32_t right) const {
  if (table_.empty()) return nullptr;
  const std::uint64_t pair = pair_key(left, right);
  std::size_t slot = mix(mix(pair)) & (table_.size() - 1);
  while (table_[slot].pair != kNoPair) {
    if (table_[slot].pair == pair) return &table_[slot];
    slot = (slot + 1) & (table_.size() - 1);
  }
  return nullptr;
}

void BytePairEncoder::encode(std::string_view word, WordCache& cache, std::vector<std::int32_t>& ids) const {
  const std::size_t before = ids.size();
  if (word.size() > WordCache::kMaxWordBytes && !joints_.empty()) {
    encode_cut(word, cache, ids);
  } else {
    encode_part(word, cache, ids);
  }
  if (!tokenless_.empty()) replace_tokenless(ids, before);
}

void BytePairEncoder::encode_part(std::string_view word, WordCache& cache, std::vector<std::int32_t>& ids) const {
  const bool cached = word.size() <= WordCache::kMaxWordBytes;
  if (cached && cache.append(word, ids)) return;
  const std::size_t before = ids.size();
  if (word.size() <= kShortWord) {
    merge_short(word, ids);
  } else {
    merge_long(word, ids);
  }
  if (cached) cache.store(word, ids.data() + before, ids.size() - before);
}

/// Between two characters that no merge joins there is always a token's end. Characters without an id are left
/// together, as what becomes of one depends on its neighbours.
void BytePairEncoder::encode_cut(std::string_view word, WordCache& cache, std::vector<std::int32_t>& ids) const {
  std::size_t begin = 0;
  std::size_t at = 0;
  char32_t last = next_code_point(word, at);
  bool last_known = id_of(last) >= 0;
  while (at < word.size()) {
    const std::size_t end = at;
    const char32_t code = next_code_point(word, at);
    const bool known = id_of(code) >= 0;
    if (known && last_known && !may_join(last, code)) {
      encode_part(word.substr(begin, end - begin), cache, ids);
      begin = end;
    }
    last = code;
    last_known = known;
  }
  encode_part(word.substr(begin), cache, ids);
}

void BytePairEncoder::replace_tokenless(std::vector<std::int32_t>& ids, std::size_t begin) const {
  std::vector<std::int32_t> replaced;
  const auto put = [&](std::int32_t id) {
    const bool again = id == unknown_ && fuses_unknown_ && !replaced.empty() && replaced.back() == unknown_;
    if (!again) replaced.push_back(id);
  };
  for (std::size_t i = begin; i < ids.size(); ++i) {
    if (ids[i] < tokenless_begin_) {
      put(ids[i]);
      continue;
    }
    std::string character;
    append_utf8(character, tokenless_[ids[i] - tokenless_begin_]);
    bool unknown = false;
    put_bytes_of(character, put, unknown);
    if (unknown) put(unknown_);
  }
  ids.resize(begin);
  ids.insert(ids.end(), replaced.begin(), replaced.end());
}

template <typename Put>
void BytePairEncoder::put_bytes_of(std::string_view character, Put put, bool& unknown) const {
  const auto has_token = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)] >= 0; };
  if (std::all_of(character.begin(), character.end(), has_token)) {
    for (const char c : character) put(byte_ids_[static_cast<unsigned char>(c)]);
  } else if (!no_unknown_.empty()) {
    fail("{}", no_unknown_);
  } else if (unknown_ >= 0) {
    if (unknown && !fuses_unknown_) put(unknown_);
    unknown = true;
  }
}

template <typename Put>
void BytePairEncoder::for_each_token(std::string_view word, Put put) const {
  bool unknown = false;  // one is yet to be put: as in the reference, behind what others fall back to
  const auto put_known = [&](std::int32_t id) {
    if (std::exchange(unknown, false)) put(unknown_);
    put(id);
  };
  if (of_characters_) {
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t begin = at;
      const std::int32_t id = id_of(next_code_point(word, at));
      if (id >= 0) {
        put_known(id);
      } else {
        put_bytes_of(word.substr(begin, at - begin), put, unknown);
      }
    }
    if (unknown) put(unknown_);
    return;
  }
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    if (const std::int32_t id = byte_ids_[byte]; id >= 0) {
      put_known(id);
    } else if (!fallbacks_[byte].empty()) {
      for (const std::int32_t it : fallbacks_[byte]) put(it);
    } else if (!no_unknown_.empty()) {
      fail("{}", no_unknown_);
    } else if (unknown_ >= 0) {
      if (unknown && !fuses_unknown_) put(unknown_);
      unknown = true;
    }
  }
  if (unknown) put(unknown_);
}

void BytePairEncoder::merge_short(std::string_view word, std::vector<std::int32_t>& ids) const {
  constexpr std::int32_t kNever = std::numeric_limits<std::int32_t>::max();
  std::int32_t tokens[2 * kShortWord];
  Merge merges[2 * kShortWord];  // of each token with the next
  std::size_t n = 0;
  for_each_token(word, [&](std::int32_t id) { tokens[n++] = id; });
  const auto look_up = [&](std::size_t i) {
    const Merge* found = i + 1 < n ? find(tokens[i], tokens[i + 1]) : nullptr;
    merges[i] = found != nullptr ? *found : Merge{kNoPair, kNever, 0};
  };
  for (std::size_t i = 0; i < n; ++i) look_up(i);
  while (n > 1) {
    const auto first =
        std::min_element(merges, merges + n - 1, [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
    if (first->rank == kNever) break;
    const auto at = static_cast<std::size_t>(first - merges);
    tokens[at] = first->merged;
    std::copy(tokens + at + 2, tokens + n, tokens + at + 1);
    std::copy(merges + at + 2, merges + n, merges + at + 1);
    --n;
    look_up(at);
    if (at > 0) look_up(at - 1);
  }
  ids.insert(ids.end(), tokens, tokens + n);
}

void BytePairEncoder::merge_long(std::string_view word, std::vector<std::int32_t>& ids) const {
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  struct Symbol {
    std::int32_t id;  // -1 once merged into the one before
    std::size_t previous, next;
  };
  struct Candidate {
    std::int32_t rank;
    std::size_t at;
    std::int32_t merged;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for_each_token(word, [&](std::int32_t id) { symbols.push_back({id, symbols.size() - 1, symbols.size() + 1}); });
  if (symbols.empty()) return;
  symbols.back().next = kNone;

  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](std::size_t at) {
    if (at == kNone || symbols[at].next == kNone) return;
    if (const Merge* found = find(symbols[at].id, symbols[symbols[at].next].id); found != nullptr) {
      queue.push({found->rank, at, found->merged});
    }
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) consider(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.at];
    if (left.id < 0 || left.next == kNone) continue;
    Symbol& right = symbols[left.next];
    const Merge* still = find(left.id, right.id);  // one of the two may have merged elsewhere meanwhile
    if (still == nullptr || still->merged != best.merged) continue;
    left.id = best.merged;
    right.id = -1;
    left.next = right.next;
    if (left.next != kNone) symbols[left.next].previous = best.at;
    consider(left.previous);
    consider(best.at);
  }
  for (std::size_t i = 0; i != kNone; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace kvpress
