// Tokens in addition to the vocabulary (special tokens, runs of spaces, ...), which are split off the text before any
// other step.
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
  bool normalized = false;   ///< matched in the normalized text, by its normalized form
  bool single_word = false;  ///< not matched next to a letter or digit
  bool lstrip = false;       ///< includes white space before it
  bool rstrip = false;       ///< includes white space after it
};

/// Finds tokens in text: the leftmost match, and of those at the same position the longest.
class AddedTokenFinder {
 public:
  /// `token` must outlive the finder. Of two tokens with the same pattern the first is used.
  void add(std::string_view pattern, const AddedToken& token);

  /// Calls on_text(part) and on_token(id) in the order of the text; with `special_is_text` special tokens are left in
  /// the text. Thread-safe.
  void split(std::string_view text, const std::function<void(std::string_view)>& on_text,
             const std::function<void(std::int32_t)>& on_token, bool special_is_text = false) const;

 private:
  /// A trie over bytes; the children of a node are a linked list.
  struct Node {
    std::int32_t first_child = -1;
    std::int32_t next_sibling = -1;
    unsigned char byte = 0;
    const AddedToken* token = nullptr;
  };
  std::int32_t child(std::int32_t node, unsigned char byte) const;
  /// The longest token at `at` and its length; null if there is none.
  const AddedToken* match(std::string_view text, std::size_t at, std::size_t& length) const;

  std::vector<Node> nodes_;
  std::int32_t roots_[256] = {};  ///< 0: none, as node 0 is never one
};

}  // namespace kvpress
