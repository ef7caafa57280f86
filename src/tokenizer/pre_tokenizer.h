// Cutting text into the pieces that BPE works on: regular expressions, one after another.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

/// GPT-2's pattern, which the ByteLevel pre-tokenizer uses.
inline constexpr std::string_view kGpt2Pattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/// Every digit stands alone.
inline constexpr std::string_view kDigitPattern = "\\p{N}";

/// Splits pieces at the matches of a pattern; what lies between two matches is a piece as well.
class Splitter {
 public:
  /// Throws Error naming `path` for a pattern that does not compile.
  Splitter(std::string_view pattern, const std::string& path);
  std::vector<std::string_view> split(const std::vector<std::string_view>& pieces) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

/// The same bytes where they are UTF-8; each maximal ill-formed part becomes U+FFFD.
std::string valid_utf8(std::string_view text);

/// Unicode's composed form.
std::string nfc(const std::string& text);

}  // namespace kvpress
