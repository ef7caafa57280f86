// Regular expressions in the syntax of Oniguruma, which the reference implementation uses, executed by PCRE2.
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

  /// Throws Error that begins with `where` if the pattern is invalid or has another meaning in Oniguruma.
  Regex(std::string_view pattern, const std::string& where);
  /// An expression that matches exactly `text`.
  static Regex literal(std::string_view text, const std::string& where);
  Regex(Regex&&) noexcept;
  ~Regex();

  /// Finds the first match at `from` or later and returns whether there is one. `subject` is valid UTF-8 (see
  /// to_regex_subject). Throws Error if matching takes too many steps. Thread-safe.
  bool find(std::string_view subject, std::size_t from, Match& match) const;

 private:
  struct Impl;
  explicit Regex(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// `text`, valid UTF-8, with `content` for each match: itself if there is none, else a copy in `storage`. An empty
/// match counts, but not right behind another. Throws Error if more than `max_size` bytes come of it.
std::string_view replace_matches(const Regex& regex, std::string_view text, std::string_view content,
                                 std::string& storage, std::size_t max_size);

}  // namespace kvpress
