#include "tokenizer/jinja/lexer.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "kvpress/base/error.h"
#include "tokenizer/jinja/text.h"
#include "tokenizer/unicode.h"

namespace kvpress::jinja {
namespace {

constexpr auto npos = std::string_view::npos;

/// With \n as the only newline, and without the last one.
std::string normalized(std::string_view source) {
  std::string out;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      out += '\n';
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  Lexer(const std::string& name, std::string_view source) : name_(name), source_(normalized(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) read_data();
    add(Token::Kind::end);
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool next_is(std::string_view text) const { return rest().substr(0, text.size()) == text; }

  template <typename... Args>
  [[noreturn]] void fail_here(fmt::format_string<Args...> format, Args&&... args) const {
    fail("{}:{}: {}", name_, line_, fmt::format(format, std::forward<Args>(args)...));
  }

  Token& add(Token::Kind kind, std::string_view text = {}) {
    return tokens_.emplace_back(Token{kind, line_, std::string(text)});
  }

  void move(std::size_t n) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_ + n), '\n'));
    at_ += n;
  }
  void skip_space() { move(rest().size() - strip(rest(), nullptr, true, false).size()); }

  /// Past the white space at `from`.
  std::size_t after_space(std::size_t from) const {
    const std::string_view text = std::string_view(source_).substr(from);
    return source_.size() - strip(text, nullptr, true, false).size();
  }

  /// The end of `{% word %}` with what may stand in it, if that is what begins at `from`. `trims`: the newline after it
  /// belongs to it.
  std::optional<std::size_t> end_of_tag(std::size_t from, std::string_view word, bool trims) const {
    const std::string_view all = source_;
    std::size_t at = from + 2;
    if (at < all.size() && (all[at] == '-' || all[at] == '+')) ++at;
    at = after_space(at);
    if (all.substr(at, word.size()) != word) return {};
    at = after_space(at + word.size());
    if (all.substr(at, 3) == "-%}") return after_space(at + 3);
    if (trims && all.substr(at, 3) == "+%}") return at + 3;
    if (all.substr(at, 2) != "%}") return {};
    at += 2;
    return trims && at < all.size() && all[at] == '\n' ? at + 1 : at;
  }

  /// The text before a tag, whose sign is at `sign`.
  void add_data(std::string_view text, std::size_t sign, bool is_variable) {
    const char c = sign < source_.size() ? source_[sign] : ' ';
    const std::size_t size = text.size();
    if (c == '-') {
      text = strip(text, nullptr, false, true);
    } else if (c != '+' && !is_variable) {
      const std::size_t line = text.rfind('\n') + 1;  // 0 if there is none
      if ((line > 0 || line_starting_) && strip(text.substr(line)).empty()) text = text.substr(0, line);
    }
    if (!text.empty()) add(Token::Kind::data, text);
    move(size);
  }

  void read_data() {
    std::size_t tag = at_;
    while ((tag = source_.find('{', tag)) != npos) {
      const char next = tag + 1 < source_.size() ? source_[tag + 1] : ' ';
      if (next == '{' || next == '%' || next == '#') break;
      ++tag;
    }
    if (tag == npos) {
      add(Token::Kind::data, rest());
      return move(rest().size());
    }
    const std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    const char kind = source_[tag + 1];
    add_data(text, tag + 2, kind == '{');
    if (kind == '%') {
      if (const auto end = end_of_tag(tag, "raw", false)) return read_raw(*end);
    }
    if (kind != '#') add(kind == '{' ? Token::Kind::variable_begin : Token::Kind::block_begin);
    move(2);
    if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) move(1);
    if (kind == '#') {
      read_comment();
    } else {
      read_tag(kind == '%');
    }
    line_starting_ = at_ > 0 && source_[at_ - 1] == '\n';
  }

  void read_comment() {
    if (at_ == source_.size()) return;  // as jinja2 has it
    const std::size_t end = source_.find("#}", at_);
    if (end == npos) fail_here("a comment has no end ('#}}')");
    const char sign = end > at_ ? source_[end - 1] : ' ';
    move(end + 2 - at_);
    if (sign == '-') {
      skip_space();
    } else if (sign != '+' && next_is("\n")) {
      move(1);
    }
  }

  void read_raw(std::size_t begin) {
    move(begin - at_);
    line_starting_ = at_ > 0 && source_[at_ - 1] == '\n';
    for (std::size_t tag = source_.find("{%", at_); tag != npos; tag = source_.find("{%", tag + 1)) {
      const auto end = end_of_tag(tag, "endraw", true);
      if (!end) continue;
      add_data(std::string_view(source_).substr(at_, tag - at_), tag + 2, false);
      move(*end - at_);
      line_starting_ = source_[at_ - 1] == '\n';
      return;
    }
    fail_here("a raw block has no end ('{{% endraw %}}')");
  }

  /// Up to the end of the tag, or of the template.
  void read_tag(bool is_block) {
    const std::string_view end = is_block ? "%}" : "}}";
    std::string open;  // the brackets that must be closed
    while (at_ < source_.size()) {
      const bool minus = next_is("-") && rest().substr(1, 2) == end;
      const bool plus = is_block && next_is("+%}");
      if (open.empty() && (minus || plus || next_is(end))) {
        add(is_block ? Token::Kind::block_end : Token::Kind::variable_end);
        move(minus || plus ? 3 : 2);
        if (minus) skip_space();
        if (is_block && !minus && !plus && next_is("\n")) move(1);
        return;
      }
      const std::size_t space = rest().size() - strip(rest(), nullptr, true, false).size();
      if (space > 0) {
        move(space);
      } else {
        read_token(open);
      }
    }
  }

  void read_token(std::string& open) {
    const char c = source_[at_];
    if (is_digit(c)) return read_number();
    if (c == '\'' || c == '"') return read_text(c);
    std::size_t end = at_;
    while (end < source_.size()) {
      std::size_t next = end;
      if (!is_word(next_code_point(source_, next))) break;
      end = next;
    }
    if (end > at_) {
      add(Token::Kind::name, std::string_view(source_).substr(at_, end - at_));
      return move(end - at_);
    }
    read_symbol(open);
  }

  void read_symbol(std::string& open) {
    for (const std::string_view two : {"//", "**", "==", "!=", ">=", "<="}) {
      if (!next_is(two)) continue;
      add(Token::Kind::symbol, two);
      return move(2);
    }
    const char c = source_[at_];
    if (std::string_view("+-/*%~[](){}><=.:|,;").find(c) == npos) {
      fail_here("unexpected character {}", rest().substr(0, byte_of_character(rest(), 1)));
    }
    if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) fail_here("unexpected '{}'", c);
      if (open.back() != c) fail_here("unexpected '{}', expected '{}'", c, open.back());
      open.pop_back();
    }
    add(Token::Kind::symbol, rest().substr(0, 1));
    move(1);
  }

  /// Digits at `at`, single underscores between them; the end of them, or `at` if there are none.
  std::size_t digits(std::size_t at) const {
    std::size_t end = at;
    while (end < source_.size() &&
           (is_digit(source_[end]) ||
            (source_[end] == '_' && end > at && end + 1 < source_.size() && is_digit(source_[end + 1])))) {
      ++end;
    }
    return end;
  }

  void read_number() {
    std::size_t end = digits(at_);
    bool is_float = false;
    // No number behind a point: `list.0.1` is two subscripts.
    if (at_ == 0 || source_[at_ - 1] != '.') {
      if (end + 1 < source_.size() && source_[end] == '.' && digits(end + 1) > end + 1) {
        end = digits(end + 1);
        is_float = true;
      }
      if (end < source_.size() && (source_[end] | 0x20) == 'e') {
        std::size_t exponent = end + 1;
        if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
        if (digits(exponent) > exponent) {
          end = digits(exponent);
          is_float = true;
        }
      }
    }
    int base = 10;
    std::size_t begin = at_;
    if (!is_float && source_[at_] == '0' && at_ + 1 < source_.size()) {
      const char letter = static_cast<char>(source_[at_ + 1] | 0x20);
      const int own = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
      std::size_t last = at_ + 2;
      const auto fits = [&](char d) {
        return is_digit(d) ? d - '0' < own : own == 16 && (d | 0x20) >= 'a' && (d | 0x20) <= 'f';
      };
      while (own != 10 && last < source_.size() &&
             (fits(source_[last]) || (source_[last] == '_' && last + 1 < source_.size() && fits(source_[last + 1])))) {
        ++last;
      }
      if (own != 10 && last > at_ + 2) {
        base = own;
        begin = at_ + 2;
        end = last;
      } else {  // a 0 stands alone: what follows is another number
        end = at_ + 1;
        while (end < source_.size() && source_[end] == '0') ++end;
      }
    }
    std::string text = source_.substr(begin, end - begin);
    text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
    Token& token = add(is_float ? Token::Kind::number : Token::Kind::integer);
    const char* const last = text.data() + text.size();
    const auto error = is_float ? std::from_chars(text.data(), last, token.number).ec
                                : std::from_chars(text.data(), last, token.integer, base).ec;
    if (error != std::errc()) fail_here("the number {} is too large", text);
    move(end - at_);
  }

  void read_text(char quote) {
    std::size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) fail_here("a string has no end");
    Token& token = add(Token::Kind::text);
    token.text = unescaped(std::string_view(source_).substr(at_ + 1, end - at_ - 1));
    move(end + 1 - at_);
  }

  std::string unescaped(std::string_view text) const {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\') {
        out += text[i];
        continue;
      }
      const char c = text[++i];
      constexpr std::string_view kLetters = "\\'\"abfnrtv";
      constexpr std::string_view kMeanings = "\\'\"\a\b\f\n\r\t\v";
      const std::size_t n_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
      if (const auto at = kLetters.find(c); at != npos) {
        out += kMeanings[at];
      } else if (c == '\n') {  // the string goes on in the next line
      } else if (n_digits > 0) {
        append_code(out, text, i + 1, n_digits, 16);
        i += n_digits;
      } else if (c >= '0' && c <= '7') {
        std::size_t n = 1;
        while (n < 3 && i + n < text.size() && text[i + n] >= '0' && text[i + n] <= '7') ++n;
        append_code(out, text, i, n, 8);
        i += n - 1;
      } else if (c == 'N') {
        fail_here("characters by name (\\N) are not supported");
      } else {
        out += '\\';
        out += c;
      }
    }
    std::string storage;
    return std::string(to_valid_utf8(out, storage));
  }

  void append_code(std::string& out, std::string_view text, std::size_t at, std::size_t n, int base) const {
    std::uint32_t code = 0;
    const std::string_view digits = text.substr(at, n);
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), code, base).ptr;
    if (digits.size() != n || end != digits.data() + n || code > 0x10ffff) {
      fail_here("\\{} is not a character", text.substr(at - (base == 16 ? 1 : 0), n + 1));
    }
    // Half of a pair of surrogates is no character.
    append_utf8(out, code >= 0xd800 && code < 0xe000 ? 0xfffd : static_cast<char32_t>(code));
  }

  const std::string& name_;
  const std::string source_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
};

}  // namespace

std::vector<Token> tokenize(const std::string& name, std::string_view source) { return Lexer(name, source).run(); }

}  // namespace kvpress::jinja
