#include "tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <string>

#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

struct Stretch {
  std::size_t begin, end;
  bool is_match;
};

/// Matches and what lies between them, without gaps.
template <typename Emit>
void find_stretches(const Regex& regex, std::string_view subject, Emit emit) {
  std::size_t done = 0;
  std::size_t from = 0;
  Regex::Match match{};
  while (from <= subject.size() && regex.find(subject, from, match)) {
    from = match.end;
    if (match.begin == match.end) {  // look on behind the next character
      if (from == subject.size()) {
        from = subject.size() + 1;
      } else {
        next_code_point(subject, from);
      }
    }
    if (match.begin > done) emit(Stretch{done, match.begin, false});
    if (match.end > match.begin) emit(Stretch{match.begin, match.end, true});
    done = match.end;
  }
  if (done < subject.size()) emit(Stretch{done, subject.size(), false});
}

template <typename Emit>
void find_numbers(std::string_view text, Emit emit) {
  std::size_t done = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t begin = at;
    if (!is_numeric(next_code_point(text, at))) continue;
    if (begin > done) emit(Stretch{done, begin, false});
    emit(Stretch{begin, at, true});
    done = at;
  }
  if (done < text.size()) emit(Stretch{done, text.size(), false});
}

/// Joins neighbours as the behaviour wants; drops what it wants removed.
std::vector<Stretch> join(std::vector<Stretch> stretches, SplitBehavior behavior) {
  std::vector<Stretch> joined;
  bool after_match = false;
  const auto put = [&](const Stretch& it, bool to_neighbour) {
    if (to_neighbour && !joined.empty()) {
      joined.back().begin = std::min(joined.back().begin, it.begin);
      joined.back().end = std::max(joined.back().end, it.end);
    } else {
      joined.push_back(it);
    }
    after_match = it.is_match;
  };
  switch (behavior) {
    case SplitBehavior::isolated:
      return stretches;
    case SplitBehavior::removed:
      std::erase_if(stretches, [](const Stretch& it) { return it.is_match; });
      return stretches;
    case SplitBehavior::merged_with_previous:
      for (const Stretch& it : stretches) put(it, it.is_match && !after_match);
      return joined;
    case SplitBehavior::merged_with_next:
      std::reverse(stretches.begin(), stretches.end());
      for (const Stretch& it : stretches) put(it, it.is_match && !after_match);
      std::reverse(joined.begin(), joined.end());
      return joined;
    case SplitBehavior::contiguous:
      for (const Stretch& it : stretches) put(it, it.is_match == after_match);
      return joined;
  }
  return stretches;
}

}  // namespace

void PreTokenizer::split(std::string_view text, const Sink& sink, bool is_first) const {
  if (text.empty()) return;
  std::string storage;
  run(0, {text, to_regex_subject(text, storage), is_first}, sink);
}

void PreTokenizer::run(std::size_t step, const Piece& piece, std::size_t begin, std::size_t end,
                       const Sink& sink) const {
  run(step,
      {piece.text.substr(begin, end - begin), piece.subject.substr(begin, end - begin), piece.is_first && begin == 0},
      sink);
}

void PreTokenizer::run_signs(std::size_t step, const SpaceSigns& signs, const Piece& piece, const Sink& sink) const {
  using Prefix = SpaceSigns::Prefix;
  const auto with_signs = [&](std::string_view part) {
    std::string replaced;
    replaced.reserve(part.size() + part.size() / 2);
    const bool wanted = signs.prefix == Prefix::always || (signs.prefix == Prefix::first && piece.is_first);
    if (wanted && !part.starts_with(' ') && !piece.text.starts_with(signs.sign)) replaced += signs.sign;
    for (const char c : part) {
      if (c == ' ') {
        replaced += signs.sign;
      } else {
        replaced += c;
      }
    }
    return replaced;
  };
  const std::string text = with_signs(piece.text);
  const std::string subject = with_signs(piece.subject);
  const Piece whole{text, subject, piece.is_first};
  if (!signs.split) {
    run(step + 1, whole, sink);
    return;
  }
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(signs.sign, begin + 1), text.size());
    run(step + 1, whole, begin, end, sink);
    begin = end;
  }
}

void PreTokenizer::run(std::size_t step, const Piece& piece, const Sink& sink) const {
  if (step == steps_.size()) {
    sink(piece.text);
    return;
  }
  const auto pass_on = [&](const Stretch& it) { run(step + 1, piece, it.begin, it.end, sink); };
  if (const auto* regex = std::get_if<RegexSplit>(&steps_[step])) {
    if (regex->behavior == SplitBehavior::isolated) {
      find_stretches(regex->regex, piece.subject, pass_on);
      return;
    }
    std::vector<Stretch> stretches;
    find_stretches(regex->regex, piece.subject, [&](Stretch it) {
      it.is_match = it.is_match != regex->invert;
      stretches.push_back(it);
    });
    for (const Stretch& it : join(std::move(stretches), regex->behavior)) pass_on(it);
  } else if (const auto* digits = std::get_if<DigitsSplit>(&steps_[step])) {
    if (digits->individual) {
      find_numbers(piece.text, pass_on);
      return;
    }
    std::vector<Stretch> stretches;
    find_numbers(piece.text, [&](const Stretch& it) { stretches.push_back(it); });
    for (const Stretch& it : join(std::move(stretches), SplitBehavior::contiguous)) pass_on(it);
  } else if (const auto* signs = std::get_if<SpaceSigns>(&steps_[step])) {
    run_signs(step, *signs, piece, sink);
  } else if (piece.text.front() == ' ') {
    run(step + 1, piece, sink);
  } else {
    std::string text(1, ' ');
    text += piece.text;
    std::string subject(1, ' ');
    subject += piece.subject;
    run(step + 1, {text, subject, piece.is_first}, sink);
  }
}

}  // namespace kvpress
