#include "report/page/html.h"

namespace kvpress {
namespace {

/// Length of the UTF-8 sequence at the beginning of text; 0 when it is none.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t n = lead >= 0xf0 && lead < 0xf5   ? 4
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xc2 && lead < 0xe0 ? 2
                                                      : 0;
  if (n == 0 || text.size() < n) return 0;
  for (std::size_t i = 1; i < n; ++i) {
    if ((byte(i) & 0xc0u) != 0x80) return 0;
  }
  // Overlong forms, surrogates and what lies beyond Unicode.
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f)) return 0;
  if ((lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f)) return 0;
  return n;
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string json_for_script(std::string_view json) {
  std::string escaped;
  escaped.reserve(json.size());
  for (const char c : json) {
    // Outside of strings JSON has none of these.
    switch (c) {
      case '<':
        escaped += "\\u003c";
        break;
      case '>':
        escaped += "\\u003e";
        break;
      case '&':
        escaped += "\\u0026";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string filled(std::string_view page, const std::vector<std::pair<std::string_view, std::string>>& values) {
  std::string result;
  while (!page.empty()) {
    const std::size_t at = page.find('@');
    result += page.substr(0, at);
    if (at == std::string_view::npos) break;
    page.remove_prefix(at + 1);
    bool found = false;
    for (const auto& [name, value] : values) {
      if (!page.starts_with(name) || page.substr(name.size(), 1) != "@") continue;
      result += value;
      page.remove_prefix(name.size() + 1);
      found = true;
      break;
    }
    if (!found) result += '@';
  }
  return result;
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  while (!text.empty()) {
    const std::size_t n = sequence_length(text);
    if (n == 0) {
      valid += "\xef\xbf\xbd";
    } else {
      valid += text.substr(0, n);
    }
    text.remove_prefix(n == 0 ? 1 : n);
  }
  return valid;
}

}  // namespace kvpress
