#include "tokenizer/unigram.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "kvpress/base/error.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

/// How much worse an unknown character is than the worst token.
constexpr double kUnknownPenalty = 10.0;

}  // namespace

UnigramEncoder::UnigramEncoder(const std::vector<UnigramPiece>& pieces, UnigramKind kind,
                               std::optional<std::int32_t> unknown)
    : kind_(kind), unknown_(unknown) {
  byte_ids_.fill(-1);
  std::vector<std::pair<std::string_view, std::int32_t>> entries;
  double smallest = std::numeric_limits<double>::infinity();
  float largest = std::numeric_limits<float>::min();
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const UnigramPiece& piece = pieces[i];
    scores_.push_back(piece.score);
    user_defined_.push_back(piece.user_defined ? 1 : 0);
    if (piece.hidden) continue;
    entries.emplace_back(piece.text, static_cast<std::int32_t>(i));
    if (piece.user_defined) continue;
    smallest = std::min(smallest, piece.score);
    largest = std::max(largest, static_cast<float>(piece.score));
  }
  trie_ = ByteTrie(std::move(entries));
  largest_score_ = largest;
  if (smallest == std::numeric_limits<double>::infinity()) smallest = 0;
  unknown_score_ = kind == UnigramKind::sentencepiece
                       ? static_cast<float>(smallest) - static_cast<float>(kUnknownPenalty)
                       : smallest - kUnknownPenalty;
}

void UnigramEncoder::reach(Step& step, double score, std::size_t begin, std::int32_t id) const {
  if (step.id != kUnreached && score <= step.score) return;
  // sentencepiece compares before it rounds.
  step.score = kind_ == UnigramKind::sentencepiece ? static_cast<double>(static_cast<float>(score)) : score;
  step.begin = begin;
  step.id = id;
}

/// By the end of each step, the best one that ends there.
std::vector<UnigramEncoder::Step> UnigramEncoder::best_steps(std::string_view word) const {
  std::vector<Step> steps(word.size() + 1);
  for (std::size_t begin = 0; begin < word.size();) {
    const double so_far = steps[begin].score;
    std::size_t next = begin;
    next_code_point(word, next);
    bool has_character = false;
    trie_.for_each_prefix(word, begin, [&](std::size_t length, std::int32_t id) {
      double score = scores_[id];
      if (user_defined_[id] != 0) score = static_cast<float>(length) * largest_score_ - 0.1;
      reach(steps[begin + length], score + so_far, begin, id);
      has_character = has_character || begin + length == next;
    });
    if (!has_character) {
      const double score = kind_ == UnigramKind::sentencepiece
                               ? static_cast<float>(unknown_score_) + static_cast<float>(so_far)
                               : unknown_score_ + so_far;
      if (steps[next].id == kUnreached || score > steps[next].score) {
        if (!unknown_ && !no_unknown_.empty()) fail("{}", no_unknown_);
        reach(steps[next], score, begin, kUnknown);
      }
    }
    begin = next;
  }
  return steps;
}

std::optional<std::int32_t> UnigramEncoder::find(std::string_view text) const {
  std::optional<std::int32_t> found;
  trie_.for_each_prefix(text, 0, [&](std::size_t length, std::int32_t id) {
    if (length == text.size()) found = id;
  });
  return found;
}

/// What neighbouring unknown characters become.
void UnigramEncoder::put_unknown(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (kind_ == UnigramKind::tokenizers) {
    if (const auto id = find(text)) {
      ids.push_back(*id);
      return;
    }
  }
  const auto has_token = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)] >= 0; };
  if (std::all_of(text.begin(), text.end(), has_token)) {
    for (const char c : text) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
  } else if (unknown_) {
    ids.push_back(*unknown_);
  }
}

void UnigramEncoder::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  const std::vector<Step> steps = best_steps(word);
  std::vector<std::size_t> ends;  // of the steps of the best way, the last first
  for (std::size_t end = word.size(); end > 0; end = steps[end].begin) ends.push_back(end);
  const auto is_unknown = [&](const Step& step) {
    return step.id == kUnknown || (kind_ == UnigramKind::tokenizers && unknown_ && step.id == *unknown_);
  };
  std::size_t unknown_begin = 0;
  std::size_t unknown_end = 0;
  const auto flush = [&] {
    if (unknown_end > unknown_begin) put_unknown(word.substr(unknown_begin, unknown_end - unknown_begin), ids);
    unknown_begin = unknown_end = 0;
  };
  for (std::size_t i = ends.size(); i-- > 0;) {
    const Step& step = steps[ends[i]];
    if (is_unknown(step)) {
      if (unknown_end == 0) unknown_begin = step.begin;
      unknown_end = ends[i];
    } else {
      flush();
      ids.push_back(step.id);
    }
  }
  flush();
}

}  // namespace kvpress
