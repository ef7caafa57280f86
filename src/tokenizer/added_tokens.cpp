#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  if (begin > 0 && is_word(last_code_point(text.substr(0, begin)))) return false;
  return end == text.size() || !is_word(next_code_point(text, end));
}

std::size_t skip_space_back(std::string_view text, std::size_t at, std::size_t least) {
  while (at > least) {
    const char32_t code = last_code_point(text.substr(0, at));
    if (!is_white_space(code)) break;
    do --at;
    while ((static_cast<unsigned char>(text[at]) & 0xc0) == 0x80);
  }
  return at;
}

std::size_t skip_space(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    std::size_t next = at;
    if (!is_white_space(next_code_point(text, next))) break;
    at = next;
  }
  return at;
}

}  // namespace

std::int32_t AddedTokenFinder::child(std::int32_t node, unsigned char byte) const {
  std::int32_t it = nodes_[node].first_child;
  while (it >= 0 && nodes_[it].byte != byte) {
    it = nodes_[it].next_sibling;
  }
  return it;
}

void AddedTokenFinder::add(std::string_view pattern, const AddedToken& token) {
  if (pattern.empty()) return;
  if (nodes_.empty()) nodes_.emplace_back();
  const auto new_node = [&](unsigned char byte, std::int32_t sibling) {
    nodes_.push_back({-1, sibling, byte, nullptr});
    return static_cast<std::int32_t>(nodes_.size() - 1);
  };
  std::int32_t& root = roots_[static_cast<unsigned char>(pattern.front())];
  if (root == 0) root = new_node(static_cast<unsigned char>(pattern.front()), -1);
  std::int32_t node = root;
  for (const char c : pattern.substr(1)) {
    const auto byte = static_cast<unsigned char>(c);
    std::int32_t next = child(node, byte);
    if (next < 0) {
      next = new_node(byte, nodes_[node].first_child);
      nodes_[node].first_child = next;
    }
    node = next;
  }
  Node& last = nodes_[node];
  if (last.token == nullptr) last.token = &token;
}

const AddedToken* AddedTokenFinder::match(std::string_view text, std::size_t at, std::size_t& length) const {
  const AddedToken* longest = nullptr;
  const std::size_t begin = at;
  std::int32_t node = roots_[static_cast<unsigned char>(text[at])];
  while (node > 0) {
    ++at;
    if (const AddedToken* token = nodes_[node].token; token != nullptr) {
      longest = token;
      length = at - begin;
    }
    if (at == text.size()) break;
    node = child(node, static_cast<unsigned char>(text[at]));
  }
  return longest;
}

void AddedTokenFinder::split(std::string_view text, const std::function<void(std::string_view)>& on_text,
                             const std::function<void(std::int32_t)>& on_token, bool special_is_text) const {
  std::size_t done = 0;
  if (!nodes_.empty()) {
    for (std::size_t at = 0; at < text.size();) {
      std::size_t length = 0;
      const AddedToken* token = match(text, at, length);
      if (token == nullptr) {
        ++at;
        continue;
      }
      std::size_t begin = at;
      std::size_t end = at + length;
      // As in the reference the search goes on behind the token's own text, whatever else it is refused or takes along.
      at = end;
      if (token->special && special_is_text) continue;
      if (token->single_word && !stands_alone(text, begin, end)) continue;
      if (token->lstrip) begin = std::max(skip_space_back(text, begin, 0), done);
      if (token->rstrip) end = skip_space(text, end);
      if (done < begin) on_text(text.substr(done, begin - done));
      on_token(token->id);
      done = end;
    }
  }
  // A token found within the space that another took along may end before that does.
  if (done < text.size()) on_text(text.substr(done));
}

}  // namespace kvpress
