#include "tokenizer/jinja/text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

#include "tokenizer/unicode.h"

namespace kvpress::jinja {
namespace {

constexpr auto npos = std::string_view::npos;

std::size_t length_of(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/// Where the code point that ends before `at` begins.
std::size_t before(std::string_view text, std::size_t at) {
  --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
  return at;
}

char32_t code_at(std::string_view text, std::size_t at) { return next_code_point(text, at); }

bool is_lower(char32_t code) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category == UTF8PROC_CATEGORY_LL || code == 0xaa || code == 0xba;
}
bool is_upper(char32_t code) { return utf8proc_category(static_cast<utf8proc_int32_t>(code)) == UTF8PROC_CATEGORY_LU; }
bool is_title(char32_t code) { return utf8proc_category(static_cast<utf8proc_int32_t>(code)) == UTF8PROC_CATEGORY_LT; }
bool is_cased(char32_t code) { return is_lower(code) || is_upper(code) || is_title(code); }

void append_upper(std::string& out, char32_t code) {
  // What becomes several letters (Unicode's SpecialCasing), of the letters that occur in words.
  constexpr std::pair<char32_t, std::string_view> kSeveral[] = {
      {0xdf, "SS"},    {0x149, "\u02bcN"}, {0xfb00, "FF"}, {0xfb01, "FI"}, {0xfb02, "FL"},
      {0xfb03, "FFI"}, {0xfb04, "FFL"},    {0xfb05, "ST"}, {0xfb06, "ST"}, {0x587, "\u0535\u0552"}};
  for (const auto& [from, to] : kSeveral) {
    if (code == from) {
      out += to;
      return;
    }
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code))));
}

void append_title(std::string& out, char32_t code) {
  constexpr std::pair<char32_t, std::string_view> kSeveral[] = {
      {0xdf, "Ss"},    {0x149, "\u02bcN"}, {0xfb00, "Ff"}, {0xfb01, "Fi"}, {0xfb02, "Fl"},
      {0xfb03, "Ffi"}, {0xfb04, "Ffl"},    {0xfb05, "St"}, {0xfb06, "St"}, {0x587, "\u0535\u0582"}};
  for (const auto& [from, to] : kSeveral) {
    if (code == from) {
      out += to;
      return;
    }
  }
  append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(code))));
}

/// A capital sigma at the end of a word becomes another small letter.
bool ends_word(std::string_view text, std::size_t at, std::size_t after) {
  return at > 0 && is_cased(code_at(text, before(text, at))) &&
         (after >= text.size() || !is_cased(code_at(text, after)));
}

void append_lower(std::string& out, std::string_view text, std::size_t at, std::size_t after) {
  const char32_t code = code_at(text, at);
  if (code == 0x130) {
    out += "i\u0307";
  } else if (code == 0x3a3 && ends_word(text, at, after)) {
    out += "\u03c2";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))));
  }
}

}  // namespace

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> result;
  for (std::size_t at = 0; at < text.size(); at += length_of(text[at])) {
    result.push_back(text.substr(at, length_of(text[at])));
  }
  return result;
}

std::int64_t n_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

std::size_t byte_of_character(std::string_view text, std::int64_t number) {
  std::size_t at = 0;
  for (; number > 0 && at < text.size(); --number) at += length_of(text[at]);
  return at;
}

bool is_space(char32_t code) { return (code >= 0x1c && code <= 0x1f) || is_white_space(code); }

std::string_view strip(std::string_view text, const std::string_view* chars, bool left, bool right) {
  const auto goes = [&](std::size_t at) {
    return chars == nullptr ? is_space(code_at(text, at)) : chars->find(text.substr(at, length_of(text[at]))) != npos;
  };
  while (left && !text.empty() && goes(0)) text.remove_prefix(length_of(text[0]));
  while (right && !text.empty() && goes(before(text, text.size()))) {
    text.remove_suffix(text.size() - before(text, text.size()));
  }
  return text;
}

std::string upper(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) append_upper(out, next_code_point(text, at));
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t after = at + length_of(text[at]);
    append_lower(out, text, at, after);
    at = after;
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  if (text.empty()) return out;
  append_title(out, code_at(text, 0));
  for (std::size_t at = length_of(text[0]); at < text.size();) {
    const std::size_t after = at + length_of(text[at]);
    append_lower(out, text, at, after);
    at = after;
  }
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t after = at + length_of(text[at]);
    const char32_t code = code_at(text, at);
    if (is_upper(code)) {
      append_lower(out, text, at, after);
    } else if (is_lower(code)) {
      append_upper(out, code);
    } else {
      append_utf8(out, code);
    }
    at = after;
  }
  return out;
}

std::string title(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t after = at + length_of(text[at]);
    const char32_t code = code_at(text, at);
    if (in_word) {
      append_lower(out, text, at, after);
    } else {
      append_title(out, code);
    }
    in_word = is_cased(code);
    at = after;
  }
  return out;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, std::int64_t count) {
  std::string out;
  if (from.empty()) {  // before every code point, and at the end
    for (const std::string_view it : characters(text)) {
      if (count != 0) out += to;
      if (count > 0) --count;
      out += it;
    }
    return count != 0 ? out += to : out;
  }
  std::size_t at = 0;
  while (count != 0) {
    const std::size_t next = find(text, from, at);
    if (next == npos) break;
    out.append(text, at, next - at).append(to);
    at = next + from.size();
    if (count > 0) --count;
  }
  return out.append(text, at);
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

bool is_printable(char32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return code == ' ';
    default:
      return true;
  }
}

bool is_all(std::string_view kind, std::string_view text) {
  bool any_cased = false;
  bool in_word = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, at);
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
    const bool letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
    const bool decimal = category == UTF8PROC_CATEGORY_ND;
    // Superscripts and circled digits are digits as well.
    const bool digit = decimal || code == 0xb2 || code == 0xb3 || code == 0xb9 || code == 0x2070 ||
                       (code >= 0x2074 && code <= 0x2079) || (code >= 0x2080 && code <= 0x2089) ||
                       (code >= 0x2460 && code <= 0x2468);
    any_cased = any_cased || is_cased(code);
    bool fits = true;
    if (kind == "isspace") fits = is_space(code);
    if (kind == "isdigit") fits = digit;
    if (kind == "isdecimal") fits = decimal;
    if (kind == "isnumeric") fits = is_numeric(code);
    if (kind == "isalpha") fits = letter;
    if (kind == "isalnum") fits = letter || is_numeric(code);
    if (kind == "isascii") fits = code < 0x80;
    if (kind == "isprintable") fits = is_printable(code);
    if (kind == "islower") fits = !is_upper(code) && !is_title(code);
    if (kind == "isupper") fits = !is_lower(code) && !is_title(code);
    if (kind == "istitle") fits = is_cased(code) ? is_lower(code) == in_word : true;
    in_word = is_cased(code);
    if (!fits) return false;
  }
  if (kind == "islower" || kind == "isupper" || kind == "istitle") return any_cased;
  return kind == "isascii" || kind == "isprintable" || !text.empty();
}

std::vector<std::string_view> split(std::string_view text, const std::string_view* separator, std::int64_t most,
                                    bool from_right) {
  std::vector<std::string_view> parts;
  if (from_right && separator != nullptr) {  // from the left in the mirrored text
    const std::string mirrored(text.rbegin(), text.rend());
    const std::string part(separator->rbegin(), separator->rend());
    std::size_t begin = 0;
    const std::string_view view = part;
    for (const std::string_view it : split(mirrored, &view, most, false)) {
      parts.push_back(text.substr(text.size() - begin - it.size(), it.size()));
      begin += it.size() + part.size();
    }
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  if (from_right) {
    while (!(text = strip(text, nullptr, false, true)).empty()) {
      std::size_t begin = most == 0 ? 0 : text.size();
      while (begin > 0 && !is_space(code_at(text, before(text, begin)))) begin = before(text, begin);
      parts.push_back(text.substr(begin));
      text = text.substr(0, begin);
      if (most > 0) --most;
    }
    std::reverse(parts.begin(), parts.end());
    return parts;
  }
  while (separator != nullptr || !(text = strip(text, nullptr, true, false)).empty()) {
    std::size_t end = npos;
    std::size_t next = npos;
    if (most != 0 && separator != nullptr) {
      end = find(text, *separator);
      next = end == npos ? npos : end + separator->size();
    } else if (most != 0) {
      std::size_t at = 0;
      while (at < text.size() && !is_space(code_at(text, at))) at += length_of(text[at]);
      end = at == text.size() ? npos : at;
      next = end;
    }
    parts.push_back(text.substr(0, end));
    if (end == npos) break;
    text.remove_prefix(next);
    if (most > 0) --most;
  }
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = at;
    const char32_t code = next_code_point(text, at);
    const bool ends = (code >= 0x0a && code <= 0x0d) || (code >= 0x1c && code <= 0x1e) || code == 0x85 ||
                      code == 0x2028 || code == 0x2029;
    if (!ends) continue;
    if (code == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(begin, (keep_ends ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::size_t find(std::string_view text, std::string_view part, std::size_t from) {
  if (from > text.size()) return npos;
  if (part.empty()) return from;
  const void* at = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return at == nullptr ? npos : static_cast<std::size_t>(static_cast<const char*>(at) - text.data());
}

std::size_t find_last(std::string_view text, std::string_view part) {
  const std::string mirrored(text.rbegin(), text.rend());
  const std::size_t at = find(mirrored, std::string(part.rbegin(), part.rend()));
  return at == npos ? npos : text.size() - at - part.size();
}

}  // namespace kvpress::jinja
