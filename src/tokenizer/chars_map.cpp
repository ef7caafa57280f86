#include "tokenizer/chars_map.h"

#include <cstring>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

// The units of Darts-clone, which SentencePiece builds these arrays with.
bool has_value(std::uint32_t unit) { return (unit >> 8 & 1) != 0; }
std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7fffffff; }
std::uint32_t label_of(std::uint32_t unit) { return unit & 0x800000ff; }
std::uint32_t offset_of(std::uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

}  // namespace

CharsMap::CharsMap(std::string_view blob, const std::string& where) {
  if (blob.empty()) return;
  std::uint32_t n_bytes = 0;
  if (blob.size() > sizeof n_bytes) std::memcpy(&n_bytes, blob.data(), sizeof n_bytes);
  if (n_bytes == 0 || n_bytes % sizeof(std::uint32_t) != 0 || n_bytes >= blob.size() - sizeof n_bytes) {
    fail("{}: precompiled_charsmap has {} bytes, of which {} are to be an array; it is damaged", where, blob.size(),
         n_bytes);
  }
  units_.resize(n_bytes / sizeof(std::uint32_t));
  std::memcpy(units_.data(), blob.data() + sizeof n_bytes, n_bytes);
  texts_ = blob.substr(sizeof n_bytes + n_bytes);
  if (texts_.back() != '\0') fail("{}: precompiled_charsmap does not end with a zero byte; it is damaged", where);
}

std::string_view CharsMap::text_at(std::uint32_t place) const {
  if (place >= texts_.size()) return {};
  return texts_.data() + place;  // ends with a zero byte
}

template <typename OnRule>
void CharsMap::for_each_rule(std::string_view text, OnRule on_rule) const {
  if (units_.empty()) return;
  std::size_t place = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    place ^= byte;
    if (place >= units_.size() || label_of(units_[place]) != byte) return;
    const std::uint32_t unit = units_[place];
    place ^= offset_of(unit);
    if (!has_value(unit)) continue;
    if (place >= units_.size() || !on_rule(Rule{i + 1, text_at(value_of(units_[place]))})) return;
  }
}

std::optional<CharsMap::Rule> CharsMap::longest(std::string_view text) const {
  std::optional<Rule> found;
  for_each_rule(text, [&](const Rule& rule) {
    found = rule;
    return true;
  });
  return found;
}

std::optional<CharsMap::Rule> CharsMap::shortest(std::string_view text) const {
  std::optional<Rule> found;
  for_each_rule(text, [&](const Rule& rule) {
    found = rule;
    return false;
  });
  return found;
}

}  // namespace kvpress
