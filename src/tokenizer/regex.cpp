#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/regex.h"

#include <pcre2.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <utility>

#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

std::string error_text(int code) {
  PCRE2_UCHAR buffer[160];
  pcre2_get_error_message(code, buffer, std::size(buffer));
  return reinterpret_cast<const char*>(buffer);
}

/// Property names that both libraries read alike.
bool is_general_category(std::string_view name) {
  constexpr std::string_view kNames[] = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",
                                         "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
                                         "S",  "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

/// Refuses what Oniguruma (Ruby's syntax) and PCRE2 understand differently.
void check_syntax(std::string_view pattern, const std::string& where) {
  const auto refuse = [&](std::string_view what) {
    fail("{}: the regular expression {} uses {}, which is not supported", where, printable(pattern), what);
  };
  bool in_class = false;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    const char c = pattern[at];
    const std::string_view rest = pattern.substr(at);
    if (c == '\\') {
      if (++at == pattern.size()) return;  // PCRE2 will say so
      const char escaped = pattern[at];
      if (escaped == 'p' || escaped == 'P') {
        const auto end = pattern.find('}', at);
        const std::string_view name = at + 1 < pattern.size() && pattern[at + 1] == '{' && end != std::string_view::npos
                                          ? pattern.substr(at + 2, end - at - 2)
                                          : std::string_view();
        if (!is_general_category(name)) refuse(fmt::format("\\{}{{{}}}", escaped, printable(name)));
        at = end;
      } else if (std::isalnum(static_cast<unsigned char>(escaped)) != 0 &&
                 std::string_view("sSdDrntfvx").find(escaped) == std::string_view::npos) {
        refuse(std::string("\\") + escaped);
      } else if (escaped == 'v') {
        refuse("\\v");  // one character to Oniguruma, any vertical space to PCRE2
      }
    } else if (in_class) {
      if (c == '[') refuse("a class within a class");
      if (rest.starts_with("&&")) refuse("&& in a class");
      if (c == ']') in_class = false;
    } else if (c == '[') {
      in_class = true;
      if (rest.starts_with("[]") || rest.starts_with("[^]")) refuse("an empty class");
    } else if (rest.starts_with("(?")) {
      constexpr std::string_view kGroups[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
      if (std::none_of(std::begin(kGroups), std::end(kGroups), [&](auto group) { return rest.starts_with(group); })) {
        refuse(printable(rest.substr(0, 4)));
      }
    } else if (rest.starts_with("(*")) {
      refuse("(*");
    } else if (rest.starts_with("}+")) {
      refuse("}+");  // possessive to PCRE2 only
    } else if (rest.starts_with("{,")) {
      refuse("{,");
    }
  }
}

struct MatchDataDelete {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

/// Each thread's room for the bounds of a match; only those of the whole are of interest.
pcre2_match_data* match_data() {
  thread_local const std::unique_ptr<pcre2_match_data, MatchDataDelete> data(pcre2_match_data_create(1, nullptr));
  if (data == nullptr) fail("memory: not enough for regular expressions");
  return data.get();
}

}  // namespace

struct Regex::Impl {
  struct CodeDelete {
    void operator()(pcre2_code* compiled) const { pcre2_code_free(compiled); }
  };
  std::unique_ptr<pcre2_code, CodeDelete> code;

  Impl(std::string_view pattern, std::uint32_t options, const std::string& where) {
    int error = 0;
    PCRE2_SIZE error_at = 0;
    const std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
        pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
    if (context == nullptr) fail("{}: not enough memory for regular expressions", where);
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);  // what ends the reach of . ^ $ in Oniguruma
    code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | options, &error,
                             &error_at, context.get()));
    if (code == nullptr) {
      fail("{}: the regular expression {} does not compile: {} (at byte {})", where, printable(pattern),
           error_text(error), error_at);
    }
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where there is no JIT, matching is slower, no more
  }
};

Regex::Regex(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex::~Regex() = default;

Regex::Regex(std::string_view pattern, const std::string& where) {
  check_syntax(pattern, where);
  // To Oniguruma ^ and $ always match at lines' ends; \s and \d go by Unicode.
  impl_ = std::make_unique<Impl>(pattern, PCRE2_UCP | PCRE2_MULTILINE, where);
}

Regex Regex::literal(std::string_view text, const std::string& where) {
  return Regex(std::make_unique<Impl>(text, PCRE2_LITERAL, where));
}

bool Regex::find(std::string_view subject, std::size_t from, Match& match) const {
  pcre2_match_data* data = match_data();
  const auto run = [&](std::uint32_t options) {
    return pcre2_match(impl_->code.get(), reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), from,
                       PCRE2_NO_UTF_CHECK | options, data, nullptr);
  };
  int status = run(0);
  if (status == PCRE2_ERROR_JIT_STACKLIMIT) status = run(PCRE2_NO_JIT);
  if (status == PCRE2_ERROR_NOMATCH) return false;
  if (status < 0) fail("text cannot be split by the tokenizer's regular expression: {}", error_text(status));
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
  match = {bounds[0], bounds[1]};
  return true;
}

std::string_view replace_matches(const Regex& regex, std::string_view text, std::string_view content,
                                 std::string& storage, std::size_t max_size) {
  std::string subject_storage;
  const std::string_view subject = to_regex_subject(text, subject_storage);
  std::size_t from = 0;
  std::size_t done = 0;
  std::size_t last_end = std::string_view::npos;
  bool any = false;
  Regex::Match match{};
  while (from <= subject.size() && regex.find(subject, from, match)) {
    from = match.end;
    if (match.begin == match.end && match.end == last_end) {
      if (from == subject.size()) break;
      next_code_point(subject, from);
      continue;
    }
    if (!std::exchange(any, true)) storage.clear();
    storage += text.substr(done, match.begin - done);
    storage += content;
    if (storage.size() > max_size) fail("the tokenizer's Replace makes more than {} bytes of a text", max_size);
    done = last_end = match.end;
  }
  if (!any) return text;
  storage += text.substr(done);
  return storage;
}

}  // namespace kvpress
