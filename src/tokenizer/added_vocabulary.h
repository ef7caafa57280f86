// The tokens beside a model's vocabulary, and the ids they get: as the reference's AddedVocabulary keeps them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/vocabulary.h"

namespace kvpress {

class AddedVocabulary {
 public:
  /// Text that is looked for, and the token that it stands for.
  struct Pattern {
    std::string content;
    bool normalized;
  };

  /// Adds tokens, whose ids are found here: that of the vocabulary, else the next free one. A content that is there
  /// already gets the flags of the new token, unless there was one with the same flags; it keeps the ways in which it
  /// is looked for, and is special for good once it was. Throws Error beginning with `path` when there are too many
  /// ids.
  void add(const std::vector<AddedToken>& tokens, const Vocabulary& vocabulary, const std::string& path);

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  /// The token with this content; null if there is none. Valid until the next add().
  const AddedToken* find(const std::string& content) const;
  bool is_special(const std::string& content) const { return special_.contains(content); }
  /// In the order of precedence: special tokens first.
  std::vector<Pattern> patterns() const;

 private:
  void add_one(AddedToken token, const Vocabulary& vocabulary, const std::string& path);

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, std::size_t> by_content_;
  std::unordered_set<std::string> special_;
  std::vector<Pattern> special_patterns_, other_patterns_;
  std::int64_t largest_id_ = -1;
};

}  // namespace kvpress
