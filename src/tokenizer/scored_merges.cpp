// SentencePiece's BPE has no list of merges; scores of tokens stand for one.
#include <algorithm>
#include <functional>
#include <unordered_map>

#include "kvpress/base/error.h"
#include "tokenizer/parts.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

/// Looking at all ways to cut a token takes time that grows with the square of its length.
constexpr std::size_t kMaxTokenBytes = 4096;

/// Finds the ids of what tokens are made of; characters that are no token get ids behind those of all tokens.
class Halves {
 public:
  Halves(const TokenizerParts& parts, const std::vector<bool>& takes_part)
      : parts_(parts), takes_part_(takes_part), first_new_(parts.vocabulary.end_id()) {}

  /// -1 if it is neither a token nor one character.
  std::int32_t find(std::string_view text) {
    if (const auto id = parts_.vocabulary.find(text); id && takes_part_[static_cast<std::size_t>(*id)]) return *id;
    std::size_t end = 0;
    const char32_t code = next_code_point(text, end);
    if (end != text.size()) return -1;
    const auto [it, is_new] = new_ids_.emplace(code, first_new_ + static_cast<std::int32_t>(codes_.size()));
    if (is_new) codes_.push_back(code);
    return it->second;
  }

  std::int32_t first_new() const { return first_new_; }
  const std::u32string& codes() const { return codes_; }

 private:
  const TokenizerParts& parts_;
  const std::vector<bool>& takes_part_;
  std::int32_t first_new_;
  std::unordered_map<char32_t, std::int32_t> new_ids_;
  std::u32string codes_;
};

/// 0 for the highest score; the same for equal scores, of which the leftmost pair merges first.
std::vector<std::int32_t> ranks_of(const std::vector<float>& scores) {
  std::vector<float> sorted = scores;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::vector<std::int32_t> ranks;
  for (const float score : scores) {
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), score, std::greater<>());
    ranks.push_back(static_cast<std::int32_t>(at - sorted.begin()));
  }
  return ranks;
}

}  // namespace

void add_scored_merges(TokenizerParts& parts, const std::vector<float>& scores, const std::vector<bool>& takes_part,
                       const std::string& path) {
  const std::vector<std::int32_t> ranks = ranks_of(scores);
  const bool of_characters = parts.kind == TokenizerKind::characters;
  if (of_characters) parts.encoder.use_characters();
  Halves halves(parts, takes_part);
  for (std::int32_t id = 0; id < parts.vocabulary.end_id(); ++id) {
    const std::string_view token = parts.vocabulary.token(id);
    if (token.empty() || !takes_part[static_cast<std::size_t>(id)]) continue;
    if (token.size() > kMaxTokenBytes) {
      fail("{}: token {} has {} bytes; at most {} are supported", path, id, token.size(), kMaxTokenBytes);
    }
    std::size_t end = 0;
    const char32_t code = next_code_point(token, end);
    if (end == token.size() && of_characters) parts.encoder.set_character(code, id);
    for (; end < token.size(); next_code_point(token, end)) {
      const std::int32_t left = halves.find(token.substr(0, end));
      if (left < 0) continue;
      const std::int32_t right = halves.find(token.substr(end));
      if (right < 0) continue;
      parts.encoder.add_merge(left, right, ranks[static_cast<std::size_t>(id)], id);
      if (!of_characters) continue;
      std::size_t at = end;
      parts.encoder.add_joint(last_code_point(token.substr(0, end)), next_code_point(token, at));
    }
  }
  for (std::size_t i = 0; i < halves.codes().size(); ++i) {
    parts.encoder.set_character(halves.codes()[i], halves.first_new() + static_cast<std::int32_t>(i));
  }
  if (!halves.codes().empty()) parts.encoder.set_tokenless(halves.first_new(), halves.codes());
}

}  // namespace kvpress
