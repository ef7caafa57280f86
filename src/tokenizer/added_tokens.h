// Tokens that stand beside the vocabulary proper (special ones, runs of spaces, ...) and are cut out of the text before
// anything else looks at it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;
  bool normalized = false;   ///< looked for in the normalized text, and there by its own normalized form
  bool single_word = false;  ///< not where a letter or digit stands beside it
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< and behind it
};

/// Finds tokens in text: the leftmost first, of those that begin together the longest.
class AddedTokenFinder {
 public:
  /// `token` is to outlive the finder. Of two with the same pattern the first counts.
  void add(std::string_view pattern, const AddedToken& token);

  /// Calls on_text(part) and on_token(id) in the order of the text. Thread-safe.
  void split(std::string_view text, const std::function<void(std::string_view)>& on_text,
             const std::function<void(std::int32_t)>& on_token) const;

 private:
  /// A trie over bytes; the children of a node are a linked list.
  struct Node {
    std::int32_t first_child = -1;
    std::int32_t next_sibling = -1;
    unsigned char byte = 0;
    const AddedToken* token = nullptr;
  };
  std::int32_t child(std::int32_t node, unsigned char byte) const;
  /// The token that begins at `at`, longest first, and its length.
  const AddedToken* match(std::string_view text, std::size_t at, std::size_t& length) const;

  std::vector<Node> nodes_;
  std::int32_t roots_[256] = {};  ///< 0: none, as node 0 is never one
};

}  // namespace kvpress
