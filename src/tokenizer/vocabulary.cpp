#include "tokenizer/vocabulary.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <limits>

#include "base/hash.h"
#include "kvpress/base/error.h"
#include "tokenizer/unicode.h"

namespace kvpress {

void Vocabulary::reserve(std::size_t n_tokens) {
  text_.reserve(n_tokens * 8);
  by_id_.reserve(n_tokens);
  const std::size_t slots = std::bit_ceil(std::max<std::size_t>(16, n_tokens * 2));
  if (table_.empty()) table_.assign(slots, -1);
}

void Vocabulary::grow_table() {
  table_.assign(std::max<std::size_t>(16, table_.size() * 2), -1);
  for (std::size_t id = 0; id < by_id_.size(); ++id) {
    if (by_id_[id].length < 0) continue;
    std::size_t slot = hash_bytes(at(by_id_[id])) & (table_.size() - 1);
    while (table_[slot] >= 0) slot = (slot + 1) & (table_.size() - 1);
    table_[slot] = static_cast<std::int32_t>(id);
  }
}

bool Vocabulary::add(std::string_view token, std::int32_t id) {
  if (table_.size() < 2 * (n_tokens_ + 1)) grow_table();
  const auto index = static_cast<std::size_t>(id);
  if (index >= by_id_.size()) by_id_.resize(index + 1);
  if (by_id_[index].length >= 0) return false;
  std::size_t slot = hash_bytes(token) & (table_.size() - 1);
  for (; table_[slot] >= 0; slot = (slot + 1) & (table_.size() - 1)) {
    if (at(by_id_[table_[slot]]) == token) return false;
  }
  if (text_.size() + token.size() > std::numeric_limits<std::int32_t>::max())
    fail("a vocabulary of more than 2 GiB is not supported");
  table_[slot] = id;
  by_id_[index] = {static_cast<std::uint32_t>(text_.size()), static_cast<std::int32_t>(token.size())};
  text_ += token;
  ++n_tokens_;
  return true;
}

std::optional<std::int32_t> Vocabulary::find(std::string_view token) const {
  if (table_.empty()) return std::nullopt;
  std::size_t slot = hash_bytes(token) & (table_.size() - 1);
  for (; table_[slot] >= 0; slot = (slot + 1) & (table_.size() - 1)) {
    if (at(by_id_[table_[slot]]) == token) return table_[slot];
  }
  return std::nullopt;
}

std::string_view Vocabulary::token(std::int32_t id) const {
  if (id < 0 || id >= end_id() || by_id_[id].length < 0) return {};
  return at(by_id_[id]);
}

ByteAlphabet::ByteAlphabet() {
  std::fill(std::begin(bytes_), std::end(bytes_), std::int16_t{-1});
  char32_t stand_in = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    const char32_t code = printable ? static_cast<char32_t>(byte) : stand_in++;
    append_utf8(characters_[byte], code);
    bytes_[code] = static_cast<std::int16_t>(byte);
  }
}

std::optional<std::string> ByteAlphabet::bytes_of(std::string_view token) const {
  std::string bytes;
  for (std::size_t at = 0; at < token.size();) {
    const char32_t code = next_code_point(token, at);
    if (code >= std::size(bytes_) || bytes_[code] < 0) return std::nullopt;
    bytes += static_cast<char>(bytes_[code]);
  }
  return bytes;
}

}  // namespace kvpress
