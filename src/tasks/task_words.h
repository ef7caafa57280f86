// Random numbers, code words and sentences for generated tasks. They depend only on the seed and are the same on every
// machine, unlike the distributions of the standard library.
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
  /// A separate stream for each sample of a task.
  TaskRandom(std::uint64_t seed, std::uint64_t sample);

  /// A number in [0, n).
  std::uint64_t below(std::uint64_t n);
  /// "brave-lantern". Never returns the same word twice.
  std::string code_word();
  /// Five digits. Never returns the same number twice.
  std::string number();
  /// Five capital letters. Never returns the same name twice.
  std::string variable();

 private:
  std::string fresh(const std::function<std::string()>& draw);

  std::mt19937_64 engine_;
  std::set<std::string> drawn_;
};

/// A text, split into words and sentences.
class Haystack {
 public:
  /// White space becomes single blanks. Throws UsageError for a text without words.
  explicit Haystack(std::string_view text);

  /// A sentence to insert at a depth, a share of the words: it goes before the sentence that begins nearest to it.
  struct Insert {
    double depth;
    std::string sentence;
  };

  /// The index of the first word of the sentence at `share` of the sentences, in [0, 1).
  std::size_t sentence_at(double share) const;

  /// n_words words from index `first` on, with the inserts in their order. Continues at the beginning after the end of
  /// the text.
  std::string compose(std::size_t first, std::size_t n_words, const std::vector<Insert>& inserts) const;

  /// Composes as many words as fit in `length` tokens. `context` turns the composed text into the text whose tokens are
  /// counted. Throws UsageError that begins with `what` if the inserts alone do not fit.
  std::string fill(std::size_t first, std::int64_t length, const std::vector<Insert>& inserts, const CountTokens& count,
                   const std::function<std::string(const std::string&)>& context, std::string_view what) const;

 private:
  std::vector<std::string> words_;
  std::vector<std::size_t> sentences_;  ///< their first words
};

/// The largest n in [0, most] for which fits(n); -1 if fits(0) is false. fits() must be monotonic.
std::int64_t largest_that_fits(std::int64_t most, const std::function<bool(std::int64_t)>& fits);

}  // namespace kvpress
