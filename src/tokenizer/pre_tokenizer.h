// Cutting text into the words that byte-pair encoding works on, each by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <variant>
#include <vector>

#include "kvpress/tokenizer/regex.h"

namespace kvpress {

/// What becomes of the text that an expression matches.
enum class SplitBehavior : std::uint8_t { removed, isolated, merged_with_previous, merged_with_next, contiguous };

struct RegexSplit {
  Regex regex;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  ///< what does not match is taken for what does
};

/// Cuts out numbers, or each digit of them.
struct DigitsSplit {
  bool individual = false;
};

/// Puts a space before what begins with none.
struct PrefixSpace {};

using PreTokenizerStep = std::variant<RegexSplit, DigitsSplit, PrefixSpace>;

/// The expression of GPT-2, which the reference's ByteLevel brings along.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class PreTokenizer {
 public:
  using Sink = std::function<void(std::string_view)>;

  PreTokenizer() = default;
  explicit PreTokenizer(std::vector<PreTokenizerStep> steps) : steps_(std::move(steps)) {}

  /// Calls sink(word) for each word of valid UTF-8, in order; none is empty. Each step works on each piece of the step
  /// before as if nothing stood around it. Thread-safe.
  void split(std::string_view text, const Sink& sink) const;

 private:
  /// A stretch of text and what regular expressions see in its place, of the same length.
  struct Piece {
    std::string_view text, subject;
  };
  void run(std::size_t step, const Piece& piece, const Sink& sink) const;
  void run(std::size_t step, const Piece& piece, std::size_t begin, std::size_t end, const Sink& sink) const;

  std::vector<PreTokenizerStep> steps_;
};

}  // namespace kvpress
