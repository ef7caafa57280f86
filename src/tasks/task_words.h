// What generators of tasks draw: random numbers, code words, and sentences to hide them among. All of it is the same
// for the same seed on every machine (the standard library's distributions are not).
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tasks/task.h"

namespace kvpress {

class TaskRandom {
 public:
  /// Streams of their own for each sample of a task.
  TaskRandom(std::uint64_t seed, std::uint64_t sample);

  /// In [0, n).
  std::uint64_t below(std::uint64_t n);
  /// "brave-lantern"; none comes twice.
  std::string code_word();
  /// Five digits; none comes twice.
  std::string number();
  /// Five capital letters; none comes twice.
  std::string variable();

 private:
  std::string fresh(const std::function<std::string()>& draw);

  std::mt19937_64 engine_;
  std::set<std::string> drawn_;
};

/// A text as words and sentences.
class Haystack {
 public:
  /// Whitespace becomes single blanks. Throws UsageError for a text without a word.
  explicit Haystack(std::string_view text);

  /// A sentence to go in, and where: as a share of the words, put before the sentence that begins nearest to it.
  struct Insert {
    double depth;
    std::string sentence;
  };

  /// The first word of sentence `share` of all of them, in [0, 1).
  std::size_t sentence_at(double share) const;

  /// n_words from `first` on, around the end of the text if need be, with the inserts among them in their order.
  std::string compose(std::size_t first, std::size_t n_words, const std::vector<Insert>& inserts) const;

  /// As many words as fit into `length` tokens. `context` makes of a composed text what is counted. Throws UsageError
  /// that begins with `what` when not even the inserts fit.
  std::string fill(std::size_t first, std::int64_t length, const std::vector<Insert>& inserts, const CountTokens& count,
                   const std::function<std::string(const std::string&)>& context, std::string_view what) const;

 private:
  std::vector<std::string> words_;
  std::vector<std::size_t> sentences_;  ///< their first words
};

/// The largest n in [0, most] with fits(n), which must hold for all n below it; -1 when not even 0 fits.
std::int64_t largest_that_fits(std::int64_t most, const std::function<bool(std::int64_t)>& fits);

}  // namespace kvpress
