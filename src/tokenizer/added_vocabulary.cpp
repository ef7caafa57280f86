#include "tokenizer/added_vocabulary.h"

#include <algorithm>
#include <utility>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

/// What tells it from other tokens: its flags and its content.
std::string signature(const AddedToken& token) {
  std::string flags;
  for (const bool it : {token.special, token.normalized, token.single_word, token.lstrip, token.rstrip}) {
    flags += it ? '1' : '0';
  }
  return flags + token.content;
}

}  // namespace

const AddedToken* AddedVocabulary::find(const std::string& content) const {
  const auto it = by_content_.find(content);
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

void AddedVocabulary::add(const std::vector<AddedToken>& tokens, const Vocabulary& vocabulary,
                          const std::string& path) {
  // It is looked for as it was when it first became special.
  for (const AddedToken& it : tokens) {
    if (it.special && !it.content.empty() && special_.insert(it.content).second) {
      special_patterns_.push_back({it.content, it.normalized});
    }
  }
  std::unordered_set<std::string> there;
  for (const AddedToken& it : tokens_) there.insert(signature(it));
  for (const AddedToken& it : tokens) {
    if (!it.content.empty() && there.insert(signature(it)).second) add_one(it, vocabulary, path);
  }
}

void AddedVocabulary::add_one(AddedToken token, const Vocabulary& vocabulary, const std::string& path) {
  const auto known = by_content_.find(token.content);
  const bool is_known = known != by_content_.end();
  if (is_known) {
    token.id = tokens_[known->second].id;
  } else if (const auto found = vocabulary.find(token.content)) {
    token.id = *found;
  } else {
    const auto n_vocabulary = static_cast<std::int64_t>(vocabulary.size());
    const std::int64_t id = largest_id_ >= n_vocabulary ? largest_id_ + 1 : n_vocabulary;
    if (id > Vocabulary::kMaxId) fail("{}: added tokens: more than {} ids", path, Vocabulary::kMaxId);
    token.id = static_cast<std::int32_t>(id);
  }
  largest_id_ = std::max<std::int64_t>(largest_id_, token.id);
  if (!special_.contains(token.content)) other_patterns_.push_back({token.content, token.normalized});
  if (is_known) {
    tokens_[known->second] = std::move(token);
  } else {
    by_content_.emplace(token.content, tokens_.size());
    tokens_.push_back(std::move(token));
  }
}

std::vector<AddedVocabulary::Pattern> AddedVocabulary::patterns() const {
  std::vector<Pattern> all = special_patterns_;
  all.insert(all.end(), other_patterns_.begin(), other_patterns_.end());
  return all;
}

}  // namespace kvpress
