#include "tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "kvpress/base/error.h"
#include "tokenizer/unicode_tables.h"

namespace kvpress {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// The first byte from `at` on that is not ASCII, or the end.
std::size_t skip_ascii(std::string_view text, std::size_t at) {
  for (std::uint64_t word = 0; at + sizeof word <= text.size(); at += sizeof word) {
    std::memcpy(&word, text.data() + at, sizeof word);
    if ((word & 0x8080808080808080u) != 0) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

/// The length of the UTF-8 sequence at `at`, positive; or, negated, of the longest part of it that could have begun
/// one.
int sequence_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) -> int {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : -1;
  };
  const int lead = byte(0);
  if (lead < 0x80) return 1;
  const int length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length == 0) return -1;
  // The second byte's range keeps out overlong forms, surrogates and what lies beyond U+10FFFF.
  const int low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const int high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return -1;
  for (int i = 2; i < length; ++i) {
    const int next = byte(static_cast<std::size_t>(i));
    if (next < 0x80 || next > 0xbf) return -i;
  }
  return length;
}

/// Of the ranges of `table`, the one that holds `code`, or null.
template <typename Range>
const Range* find_range(std::span<const Range> table, char32_t code) {
  const auto after = std::upper_bound(table.begin(), table.end(), code,
                                      [](char32_t value, const Range& range) { return value < range.first; });
  if (after == table.begin() || code > std::prev(after)->last) return nullptr;
  return &*std::prev(after);
}

/// Blocks whose characters are all in NFC and join with none but characters outside of these blocks.
bool is_plainly_nfc(char32_t code) {
  return code < 0x300 || (code >= 0x400 && code < 0x483) || (code >= 0x2010 && code < 0x2028) ||
         (code >= 0x4e00 && code < 0xa000) || (code >= 0xac00 && code < 0xd7a4);
}

bool is_composed(NormalForm form) { return form == NormalForm::nfc || form == NormalForm::nfkc; }
bool is_compatible(NormalForm form) { return form == NormalForm::nfkc || form == NormalForm::nfkd; }

void append_normal(std::string& out, std::string_view text, NormalForm form) {
  if (text.empty()) return;
  utf8proc_uint8_t* mapped = nullptr;
  const int options = UTF8PROC_STABLE | (is_composed(form) ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                      (is_compatible(form) ? UTF8PROC_COMPAT : 0);
  const utf8proc_ssize_t n =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &mapped, static_cast<utf8proc_option_t>(options));
  if (n < 0) fail("text cannot be normalized: {}", utf8proc_errmsg(n));
  const std::unique_ptr<utf8proc_uint8_t, void (*)(void*)> guard(mapped, std::free);
  out.append(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(n));
}

}  // namespace

std::string_view to_valid_utf8(std::string_view text, std::string& storage) {
  std::size_t at = 0;
  std::size_t copied = 0;
  bool valid = true;
  while ((at = skip_ascii(text, at)) < text.size()) {
    const int length = sequence_length(text, at);
    if (length > 0) {
      at += static_cast<std::size_t>(length);
      continue;
    }
    if (valid) storage.clear();
    valid = false;
    storage += text.substr(copied, at - copied);
    storage += kReplacement;
    at += static_cast<std::size_t>(-length);
    copied = at;
  }
  if (valid) return text;
  storage += text.substr(copied);
  return storage;
}

void append_utf8(std::string& out, char32_t code) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3f));
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
}

std::string_view to_nfc(std::string_view text, std::string& storage) {
  return to_normal_form(text, NormalForm::nfc, storage);
}

std::string_view to_normal_form(std::string_view text, NormalForm form, std::string& storage) {
  std::size_t at = 0;
  bool plain = true;
  while (plain && (at = skip_ascii(text, at)) < text.size()) {
    plain = form == NormalForm::nfc && is_plainly_nfc(next_code_point(text, at));
  }
  if (plain) return text;
  storage.clear();
  std::size_t done = 0;
  at = 0;
  while ((at = skip_ascii(text, at)) < text.size()) {
    const std::size_t begin = at;
    const char32_t code = next_code_point(text, at);
    const bool is_inert = (code >= nfc_inert().front().first && find_range(nfc_inert(), code) != nullptr) ||
                          (form != NormalForm::nfc && find_range(decomposed_later(), code) != nullptr);
    if (!is_inert) continue;
    append_normal(storage, text.substr(done, begin - done), form);
    storage += text.substr(begin, at - begin);
    done = at;
  }
  append_normal(storage, text.substr(done), form);
  return storage;
}

std::string_view to_lowercase(std::string_view text, std::string& storage) {
  std::size_t done = 0;
  bool changed = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t code = next_code_point(text, at);
    char32_t lower = code;
    if (code < 0x80) {
      if (code >= 'A' && code <= 'Z') lower = code + ('a' - 'A');
    } else if (const LowercaseLater* found = find_range(lowercased_later(), code)) {
      if ((code - found->first) % found->step == 0) lower = code + found->distance;
    } else {
      lower = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
    }
    if (lower == code) continue;
    if (!changed) storage.clear();
    changed = true;
    storage += text.substr(done, begin - done);
    append_utf8(storage, lower);
    if (code == 0x130) append_utf8(storage, 0x307);  // the one letter whose lower case is two
    done = at;
  }
  if (!changed) return text;
  storage += text.substr(done);
  return storage;
}

bool GraphemeBreaks::between(char32_t last, char32_t next) {
  return utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(last), static_cast<utf8proc_int32_t>(next),
                                          &state_);
}

std::string_view to_regex_subject(std::string_view text, std::string& storage) {
  const char32_t least = stand_ins().front().first;
  std::size_t at = 0;
  bool copied = false;
  while ((at = skip_ascii(text, at)) < text.size()) {
    const std::size_t begin = at;
    const char32_t code = next_code_point(text, at);
    if (code < least) continue;
    const StandIn* found = find_range(stand_ins(), code);
    if (found == nullptr) continue;
    if (!copied) storage = text;
    copied = true;
    std::string replacement;
    append_utf8(replacement, found->stand_in);
    storage.replace(begin, at - begin, replacement);
  }
  return copied ? std::string_view(storage) : text;
}

bool is_numeric(char32_t code) {
  if (code < 0x80) return code >= '0' && code <= '9';
  // The reference asks its compiler's library here, whose tables are a version newer than its regular expressions'.
  if ((code >= 0x11de0 && code <= 0x11de9) || (code >= 0x16ff4 && code <= 0x16ff6)) return true;
  if (const StandIn* found = find_range(stand_ins(), code)) code = found->stand_in;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}

bool is_white_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0d) || code == 0x20 || code == 0x85 || code == 0xa0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
         code == 0x3000;
}

bool is_word(char32_t code) {
  if (const StandIn* found = find_range(stand_ins(), code)) code = found->stand_in;
  // Circled letters are alphabetic though symbols.
  if (code == 0x200c || code == 0x200d || (code >= 0x24b6 && code <= 0x24e9)) return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return (code >= 0x1f130 && code <= 0x1f149) || (code >= 0x1f150 && code <= 0x1f169) ||
             (code >= 0x1f170 && code <= 0x1f189);
  }
}

}  // namespace kvpress
