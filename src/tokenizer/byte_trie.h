// A set of byte strings with values: finds those that a text begins with.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace kvpress {

class ByteTrie {
 public:
  ByteTrie() = default;
  /// Of a string that occurs several times the last value counts. Empty strings are left out. Values are not negative.
  explicit ByteTrie(std::vector<std::pair<std::string_view, std::int32_t>> entries);

  bool empty() const { return nodes_.size() <= 1; }

  /// Calls on_prefix(length, value) for each string that `text` begins with at `at`, shorter ones first.
  template <typename OnPrefix>
  void for_each_prefix(std::string_view text, std::size_t at, OnPrefix on_prefix) const {
    if (at >= text.size()) return;
    std::uint32_t node = roots_[static_cast<unsigned char>(text[at])];
    for (std::size_t end = at + 1; node != 0; ++end) {
      if (nodes_[node].value >= 0) on_prefix(end - at, nodes_[node].value);
      if (end == text.size()) return;
      node = child(node, static_cast<unsigned char>(text[end]));
    }
  }
  /// The length of the longest string that `text` begins with at `at`; 0 if there is none.
  std::size_t longest_prefix(std::string_view text, std::size_t at) const {
    std::size_t longest = 0;
    for_each_prefix(text, at, [&](std::size_t length, std::int32_t) { longest = length; });
    return longest;
  }

 private:
  /// The children of a node lie one after another, in the order of their bytes.
  struct Node {
    std::uint32_t first_child = 0;
    std::uint16_t n_children = 0;
    unsigned char byte = 0;
    std::int32_t value = -1;
  };
  std::uint32_t child(std::uint32_t node, unsigned char byte) const;

  std::vector<Node> nodes_;  ///< the first is the root
  std::array<std::uint32_t, 256> roots_ = {};
};

}  // namespace kvpress
