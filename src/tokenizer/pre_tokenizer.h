// Splits text into the words that byte-pair encoding processes separately.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tokenizer/regex.h"

namespace kvpress {

/// How matches of an expression are treated.
enum class SplitBehavior : std::uint8_t { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct RegexSplit {
  Regex regex;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  ///< swap matches and non-matches
};

/// Splits off numbers, or each of their digits.
struct DigitsSplit {
  bool individual = false;
};

/// Adds a space before a text that does not begin with one.
struct PrefixSpace {};

/// Spaces become `sign`; a text may be given one to begin with, and be split before each.
struct SpaceSigns {
  enum class Prefix : std::uint8_t { never, first, always };
  std::string sign;
  Prefix prefix = Prefix::always;  ///< `first`: only what the text begins with
  bool split = true;
};

/// More steps than this are refused: each takes a stack frame, and nothing known has a tenth of them.
inline constexpr std::size_t kMaxPreTokenizerSteps = 100;

using PreTokenizerStep = std::variant<RegexSplit, DigitsSplit, PrefixSpace, SpaceSigns>;

/// The expression of GPT-2, which the reference's ByteLevel uses.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class PreTokenizer {
 public:
  using Sink = std::function<void(std::string_view)>;

  PreTokenizer() = default;
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps) : steps_(std::move(steps)) {}

  /// Calls sink(word) for each word in order; `text` is valid UTF-8, and no word is empty. Each step processes each
  /// piece of the previous step separately. `is_first`: the text is the beginning of what is encoded. Thread-safe.
  void split(std::string_view text, const Sink& sink, bool is_first = true) const;

 private:
  /// A part of the text and the text of the same length that regular expressions see.
  struct Piece {
    std::string_view text, subject;
    bool is_first;
  };
  void run(std::size_t step, const Piece& piece, const Sink& sink) const;
  void run(std::size_t step, const Piece& piece, std::size_t begin, std::size_t end, const Sink& sink) const;
  void run_signs(std::size_t step, const SpaceSigns& signs, const Piece& piece, const Sink& sink) const;

  std::vector<PreTokenizerStep> steps_;
};

}  // namespace kvpress
