#define PCRE2_CODE_UNIT_WIDTH 8
#include "kvpress/tokenizer/pre_tokenizer.h"

#include <pcre2.h>
#include <utf8proc.h>

#include <cstdlib>

#include "kvpress/base/error.h"

namespace kvpress {

struct Splitter::Code {
  pcre2_code* code = nullptr;
  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() { pcre2_code_free(code); }
};

Splitter::Splitter(std::string_view pattern, const std::string& path) {
  auto code = std::make_shared<Code>();
  int error = 0;
  PCRE2_SIZE offset = 0;
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &error, &offset, nullptr);
  if (code->code == nullptr) fail("{}: the pre-tokenizer's pattern '{}' does not compile", path, pattern);
  pcre2_jit_compile(code->code, PCRE2_JIT_COMPLETE);
  code_ = std::move(code);
}

std::vector<std::string_view> Splitter::split(const std::vector<std::string_view>& pieces) const {
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> match(
      pcre2_match_data_create_from_pattern(code_->code, nullptr), pcre2_match_data_free);
  std::vector<std::string_view> result;
  for (const std::string_view piece : pieces) {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(piece.data());
    std::size_t at = 0;       // where the next match is looked for
    std::size_t emitted = 0;  // up to where pieces have been given out
    while (at < piece.size()) {
      if (pcre2_match(code_->code, subject, piece.size(), at, PCRE2_NO_UTF_CHECK, match.get(), nullptr) < 0) break;
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
      if (range[1] == range[0]) {  // an empty match: go on at the next character
        at = range[1] + 1;
        while (at < piece.size() && (static_cast<unsigned char>(piece[at]) & 0xc0) == 0x80) ++at;
        continue;
      }
      if (range[0] > emitted) result.push_back(piece.substr(emitted, range[0] - emitted));
      result.push_back(piece.substr(range[0], range[1] - range[0]));
      at = emitted = range[1];
    }
    if (emitted < piece.size()) result.push_back(piece.substr(emitted));
  }
  return result;
}

std::string valid_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const unsigned char lead = byte(i);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xc2 && lead < 0xe0 ? 2
                               : lead >= 0xe0 && lead < 0xf0 ? 3
                               : lead >= 0xf0 && lead < 0xf5 ? 4
                                                             : 0;
    std::size_t good = length == 0 ? 0 : 1;
    while (good > 0 && good < length && i + good < text.size()) {
      const unsigned char next = byte(i + good);
      // The second byte's range is narrower after some leads: no overlong forms, surrogates, or past U+10FFFF.
      unsigned char low = 0x80;
      unsigned char high = 0xbf;
      if (good == 1 && lead == 0xe0) low = 0xa0;
      if (good == 1 && lead == 0xed) high = 0x9f;
      if (good == 1 && lead == 0xf0) low = 0x90;
      if (good == 1 && lead == 0xf4) high = 0x8f;
      if (next < low || next > high) break;
      ++good;
    }
    if (length > 0 && good == length) {
      out.append(text.substr(i, length));
    } else {
      out += "\xef\xbf\xbd";
    }
    i += good == 0 ? 1 : good;
  }
  return out;
}

std::string nfc(const std::string& text) {
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t n =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &mapped, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> guard(mapped, std::free);
  if (n < 0) return text;
  return {reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(n)};
}

}  // namespace kvpress
