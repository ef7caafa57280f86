#include "tasks/task_words.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

constexpr std::array kAdjectives = {
    "amber",  "brave", "bright", "calm",   "clever",  "cold",   "copper", "curious", "distant", "early",
    "eager",  "faded", "fancy",  "gentle", "golden",  "grand",  "green",  "hidden",  "hollow",  "honest",
    "icy",    "ivory", "jolly",  "keen",   "late",    "little", "lonely", "lucky",   "mellow",  "misty",
    "narrow", "noble", "orange", "pale",   "patient", "plain",  "polite", "proud",   "purple",  "quick",
    "quiet",  "rapid", "rusty",  "salty",  "secret",  "sharp",  "shiny",  "silent",  "silver",  "simple",
    "sleepy", "slow",  "solid",  "steady", "sunny",   "tall",   "tiny",   "velvet",  "warm",    "wild"};
constexpr std::array kNouns = {
    "anchor", "apple",  "arrow",   "basket",  "beacon", "bell",    "bottle",  "bridge",  "button", "candle",
    "canyon", "carpet", "castle",  "cellar",  "circle", "clock",   "cloud",   "corner",  "cradle", "desert",
    "dragon", "engine", "falcon",  "feather", "fiddle", "forest",  "garden",  "glacier", "hammer", "harbor",
    "helmet", "island", "jacket",  "kettle",  "ladder", "lantern", "lemon",   "marble",  "meadow", "mirror",
    "needle", "ocean",  "orchard", "paddle",  "parrot", "pebble",  "pepper",  "pillow",  "planet", "quarry",
    "ribbon", "river",  "saddle",  "shadow",  "spider", "temple",  "thunder", "tunnel",  "valley", "window"};

bool ends_sentence(std::string_view word) {
  const auto last = word.find_last_not_of("\"')]_*");
  return last != std::string_view::npos && (word[last] == '.' || word[last] == '!' || word[last] == '?');
}

}  // namespace

TaskRandom::TaskRandom(std::uint64_t seed, std::uint64_t sample) : engine_(seed * 0x9e3779b97f4a7c15ULL + sample) {}

std::uint64_t TaskRandom::below(std::uint64_t n) {
  // The remainder's bias is n / 2^64; std::uniform_int_distribution differs from library to library.
  return engine_() % n;
}

std::string TaskRandom::fresh(const std::function<std::string()>& draw) {
  while (true) {
    std::string text = draw();
    if (drawn_.insert(text).second) return text;
  }
}

std::string TaskRandom::code_word() {
  return fresh([&] {
    std::string word = fmt::format("{}-{}", kAdjectives[below(kAdjectives.size())], kNouns[below(kNouns.size())]);
    // Long lists need more than there are pairs.
    if (drawn_.size() > kAdjectives.size() * kNouns.size() / 2) word += fmt::format("-{}", below(1000000));
    return word;
  });
}

std::string TaskRandom::number() {
  return fresh([&] { return std::to_string(10000 + below(90000)); });
}

std::string TaskRandom::variable() {
  return fresh([&] {
    std::string name;
    for (int i = 0; i < 5; ++i) name += static_cast<char>('A' + below(26));
    return name;
  });
}

Haystack::Haystack(std::string_view text) {
  bool begins = true;
  for (std::size_t at = 0; at < text.size();) {
    const auto from = text.find_first_not_of(" \t\r\n\f\v", at);
    if (from == std::string_view::npos) break;
    const auto end = std::min(text.size(), text.find_first_of(" \t\r\n\f\v", from));
    if (begins) sentences_.push_back(words_.size());
    words_.emplace_back(text.substr(from, end - from));
    begins = ends_sentence(words_.back());
    at = end;
  }
  if (words_.empty()) fail_setting("text", "contains no words");
}

std::size_t Haystack::sentence_at(double share) const {
  return sentences_[share * static_cast<double>(sentences_.size())];
}

std::string Haystack::compose(std::size_t first, std::size_t n_words, const std::vector<Insert>& inserts) const {
  // Places where a sentence begins, counted from `first`; the ends count as well.
  std::vector<std::size_t> places = {0};
  for (std::size_t i = 1; i < n_words; ++i) {
    if (std::binary_search(sentences_.begin(), sentences_.end(), (first + i) % words_.size())) places.push_back(i);
  }
  if (n_words > 0) places.push_back(n_words);
  std::vector<std::pair<std::size_t, const std::string*>> at;
  for (const Insert& it : inserts) {
    const double wanted = it.depth * static_cast<double>(n_words);
    const auto distance = [&](std::size_t place) { return std::abs(static_cast<double>(place) - wanted); };
    const auto nearest = std::min_element(places.begin(), places.end(),
                                          [&](std::size_t a, std::size_t b) { return distance(a) < distance(b); });
    at.emplace_back(*nearest, &it.sentence);
  }
  std::stable_sort(at.begin(), at.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : " ") + part; };
  std::size_t next = 0;
  for (std::size_t i = 0; i <= n_words; ++i) {
    for (; next < at.size() && at[next].first == i; ++next) add(*at[next].second);
    if (i < n_words) add(words_[(first + i) % words_.size()]);
  }
  return text;
}

std::string Haystack::fill(std::size_t first, std::int64_t length, const std::vector<Insert>& inserts,
                           const CountTokens& count, const std::function<std::string(const std::string&)>& context,
                           std::string_view what) const {
  const auto composed = [&](std::int64_t n) { return context(compose(first, static_cast<std::size_t>(n), inserts)); };
  // A word is one token at the least.
  const std::int64_t n = largest_that_fits(length, [&](std::int64_t it) { return count(composed(it)) <= length; });
  if (n < 0) {
    fail_setting(what, "needs {} tokens even without surrounding text, more than the length {}; use a greater length",
                 count(composed(0)), length);
  }
  return composed(n);
}

std::int64_t largest_that_fits(std::int64_t most, const std::function<bool(std::int64_t)>& fits) {
  std::int64_t low = -1;
  std::int64_t high = most + 1;
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace kvpress
