// The rewriting rules of a SentencePiece model (precompiled_charsmap): a double array of what is rewritten, and the
// texts that it becomes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

class CharsMap {
 public:
  /// Without rules.
  CharsMap() = default;
  /// `blob` is what the file holds; empty: no rules. Throws Error that begins with `where` if it is damaged.
  CharsMap(std::string_view blob, const std::string& where);

  bool empty() const { return units_.empty(); }

  struct Rule {
    std::size_t length;     ///< how much of the text it rewrites
    std::string_view text;  ///< what it becomes; valid as long as the map
  };
  /// The rules whose left side `text` begins with: the longest, and the shortest.
  std::optional<Rule> longest(std::string_view text) const;
  std::optional<Rule> shortest(std::string_view text) const;

 private:
  template <typename OnRule>
  void for_each_rule(std::string_view text, OnRule on_rule) const;
  std::string_view text_at(std::uint32_t place) const;

  std::vector<std::uint32_t> units_;
  std::string texts_;  ///< each ends with a zero byte
};

}  // namespace kvpress
