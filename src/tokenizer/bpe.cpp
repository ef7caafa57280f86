#include "kvpress/tokenizer/bpe.h"

#include <array>
#include <queue>
#include <utility>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

std::string utf8(std::uint32_t code) {
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
}

/// GPT-2 writes each byte as a visible character: printable ones as themselves, the others from U+0100 on.
std::array<std::uint32_t, 256> byte_characters() {
  std::array<std::uint32_t, 256> codes{};
  std::uint32_t next = 256;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    codes[byte] = visible ? byte : next++;
  }
  return codes;
}

std::uint64_t pair_key(std::int32_t a, std::int32_t b) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(a)) << 32 | static_cast<std::uint32_t>(b);
}

}  // namespace

Bpe::Bpe(std::unordered_map<std::string, std::int32_t> vocab,
         const std::vector<std::pair<std::string, std::string>>& merges, bool ignore_merges, const std::string& path)
    : vocab_(std::move(vocab)), ignore_merges_(ignore_merges) {
  const auto codes = byte_characters();
  std::unordered_map<std::uint32_t, char> byte_of;
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    byte_of[codes[byte]] = static_cast<char>(byte);
    const auto it = vocab_.find(utf8(codes[byte]));
    byte_ids_.push_back(it == vocab_.end() ? -1 : it->second);
  }
  for (const auto& [token, id] : vocab_) {
    std::string bytes;
    for (std::size_t i = 0; i < token.size(); ++i) {
      auto code = static_cast<std::uint32_t>(static_cast<unsigned char>(token[i]));
      if (code >= 0xc0 && code < 0xe0 && i + 1 < token.size()) {
        code = (code & 0x1f) << 6 | (static_cast<unsigned char>(token[++i]) & 0x3f);
      }
      const auto it = byte_of.find(code);
      if (it == byte_of.end()) {  // not in the byte-level alphabet: an added token, written as it is
        bytes = token;
        break;
      }
      bytes += it->second;
    }
    if (ignore_merges_) whole_.emplace(bytes, id);
    bytes_.emplace(id, std::move(bytes));
  }
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto a = vocab_.find(merges[rank].first);
    const auto b = vocab_.find(merges[rank].second);
    const auto both = vocab_.find(merges[rank].first + merges[rank].second);
    if (a == vocab_.end() || b == vocab_.end() || both == vocab_.end()) {
      fail("{}: merge {} ('{} {}') names a token that is not in the vocabulary", path, rank, merges[rank].first,
           merges[rank].second);
    }
    merges_.emplace(pair_key(a->second, b->second), Merge{static_cast<std::int32_t>(rank), both->second});
  }
}

void Bpe::encode(std::string_view bytes, std::vector<std::int32_t>& ids) const {
  if (ignore_merges_) {
    if (const auto it = whole_.find(std::string(bytes)); it != whole_.end()) {
      ids.push_back(it->second);
      return;
    }
  }
  struct Symbol {
    std::int32_t id, previous, next;
  };
  std::vector<Symbol> symbols;
  for (const char c : bytes) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id < 0) continue;  // a byte the vocabulary does not have gives nothing, as in the reference
    const auto at = static_cast<std::int32_t>(symbols.size());
    symbols.push_back({id, at - 1, at + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;

  struct Candidate {
    std::int32_t rank, left, left_id, right_id, id;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](std::int32_t left) {
    if (left < 0) return;
    const Symbol& a = symbols[static_cast<std::size_t>(left)];
    if (a.next < 0) return;
    const std::int32_t right_id = symbols[static_cast<std::size_t>(a.next)].id;
    const auto it = merges_.find(pair_key(a.id, right_id));
    if (it != merges_.end()) queue.push({it->second.rank, left, a.id, right_id, it->second.id});
  };
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) consider(static_cast<std::int32_t>(i));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& a = symbols[static_cast<std::size_t>(best.left)];
    if (a.id != best.left_id || a.next < 0) continue;  // one of the two has been merged meanwhile
    Symbol& b = symbols[static_cast<std::size_t>(a.next)];
    if (b.id != best.right_id) continue;
    a.id = best.id;
    b.id = -1;
    a.next = b.next;
    if (a.next >= 0) symbols[static_cast<std::size_t>(a.next)].previous = best.left;
    consider(a.previous);
    consider(best.left);
  }
  for (std::int32_t at = 0; at >= 0; at = symbols[static_cast<std::size_t>(at)].next) {
    ids.push_back(symbols[static_cast<std::size_t>(at)].id);
  }
}

std::string Bpe::bytes_of(std::int32_t id) const {
  const auto it = bytes_.find(id);
  return it == bytes_.end() ? "" : it->second;
}

}  // namespace kvpress
