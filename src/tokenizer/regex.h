// Regular expressions of the reference implementation, which are Oniguruma's, run by PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace kvpress {

class Regex {
 public:
  struct Match {
    std::size_t begin, end;
  };

  /// Throws Error, beginning with `where`, for what is no regular expression or has another meaning to Oniguruma.
  Regex(std::string_view pattern, const std::string& where);
  /// Matches `text` itself.
  static Regex literal(std::string_view text, const std::string& where);
  Regex(Regex&&) noexcept;
  ~Regex();

  /// The first match that begins at `from` or later. `subject` is valid UTF-8 (see to_regex_subject). Thread-safe.
  /// Throws Error when matching takes too many steps.
  bool find(std::string_view subject, std::size_t from, Match& match) const;

 private:
  struct Impl;
  explicit Regex(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvpress
