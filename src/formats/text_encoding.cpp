#include "formats/text_encoding.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstddef>

#include "kvpress/base/error.h"
#include "kvpress/base/log.h"

namespace kvpress {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

/// Where the first byte is that is not part of a valid sequence; the size if all are.
std::size_t first_invalid(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    utf8proc_int32_t code = 0;
    const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at),
                                    static_cast<utf8proc_ssize_t>(text.size() - at), &code);
    if (n <= 0) return at;
    at += static_cast<std::size_t>(n);
  }
  return at;
}

}  // namespace

void refuse_utf16(std::string_view beginning, const std::string& path) {
  const bool has_mark = beginning.starts_with("\xff\xfe") || beginning.starts_with("\xfe\xff") ||
                        beginning.starts_with(std::string_view("\0\0\xfe\xff", 4));
  // Latin text in UTF-16 is zero in every other byte; text in UTF-8 is never zero.
  const std::string_view some = beginning.substr(0, 4096);
  const auto n_zeros = static_cast<std::size_t>(std::count(some.begin(), some.end(), '\0'));
  if (!has_mark && (some.size() < 4 || n_zeros * 10 < some.size() * 3)) return;
  fail("{}: is UTF-16 or UTF-32, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8", path);
}

std::string_view checked_utf8(std::string_view text, const std::string& path) {
  refuse_utf16(text, path);
  const std::size_t at = first_invalid(text);
  if (at < text.size()) {
    log_warning_once(fmt::format("{}: byte {} (0x{:02x}) is not UTF-8; such bytes are read as U+FFFD", path, at,
                                 static_cast<unsigned char>(text[at])));
  }
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return text;
}

}  // namespace kvpress
