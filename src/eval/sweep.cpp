#include "eval/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <random>
#include <set>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/press/registry.h"

namespace kvpress {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else if (c != ' ') {
      parts.back() += c;
    }
  }
  return parts;
}

double number_of(const std::string& text, const std::string& option, const std::string& whole) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail_usage("{}: '{}' is neither a ratio such as 0.5 nor a range such as 0.0:0.9:0.1", option, whole);
  }
  return value;
}

void add_range(const std::string& item, const std::string& option, std::vector<double>& ratios) {
  const std::vector<std::string> parts = split(item, ':');
  if (parts.size() == 1) {
    ratios.push_back(number_of(item, option, item));
    return;
  }
  if (parts.size() != 3)
    fail_usage("{}: '{}' is not a range; write first:last:step, such as 0.0:0.9:0.1", option, item);
  const double first = number_of(parts[0], option, item);
  const double last = number_of(parts[1], option, item);
  const double step = number_of(parts[2], option, item);
  if (!(step > 0) || !(last >= first) || (last - first) / step > 1000) {
    fail_usage("{}: '{}' is not an ascending range of at most 1000 steps; write first:last:step, such as 0.0:0.9:0.1",
               option, item);
  }
  // 0.1 is no binary number: without rounding the third step of it would be 0.30000000000000004.
  const auto n = static_cast<int>(std::floor((last - first) / step + 1e-9));
  for (int i = 0; i <= n; ++i) ratios.push_back(std::round((first + i * step) * 1e9) / 1e9);
}

void refuse_twice(const std::vector<std::string>& names, const std::string& what) {
  std::set<std::string> seen;
  for (const std::string& it : names) {
    if (!seen.insert(it).second) fail_usage("{}: '{}' is given twice", what, it);
  }
}

/// Fisher and Yates with a generator that the standard fixes; std::shuffle may differ from library to library.
template <typename Iterator>
void shuffle(Iterator first, Iterator last, std::mt19937_64& generator) {
  for (auto i = last - first - 1; i > 0; --i) {
    const auto j = static_cast<decltype(i)>(generator() % static_cast<std::uint64_t>(i + 1));
    std::swap(first[i], first[j]);
  }
}

}  // namespace

std::vector<double> parse_ratios(const std::string& text, const std::string& option) {
  std::vector<double> ratios;
  for (const std::string& item : split(text, ',')) add_range(item, option, ratios);
  std::sort(ratios.begin(), ratios.end());
  for (std::size_t i = 0; i < ratios.size(); ++i) {
    if (!(ratios[i] >= 0 && ratios[i] < 1)) {
      fail_usage("{}: {} is not a compression ratio; it must be in [0, 1)", option, ratios[i]);
    }
    if (i > 0 && ratios[i] == ratios[i - 1]) fail_usage("{}: {} is given twice", option, ratios[i]);
  }
  return ratios;
}

std::vector<SweepRun> sweep_runs(const SweepGrid& grid) {
  if (grid.datasets.empty()) fail_setting("datasets", "is empty; at least one is needed");
  if (grid.protocols.empty()) fail_setting("protocol", "is empty; at least one is needed");
  if (grid.presses.empty()) fail_setting("presses", "contains no press except no_press; at least one is needed");
  if (grid.ratios.empty()) fail_setting("ratios", "is empty; at least one is needed");
  if (grid.repeats < 1) fail_setting("repeats", "{} is too small; at least 1 is needed", grid.repeats);
  refuse_twice(grid.datasets, setting("datasets"));
  refuse_twice(grid.protocols, setting("protocol"));
  refuse_twice(grid.presses, setting("presses"));

  std::vector<SweepRun> runs;
  std::mt19937_64 generator(grid.seed);
  for (std::size_t d = 0; d < grid.datasets.size(); ++d) {
    for (std::size_t p = 0; p < grid.protocols.size(); ++p) {
      const auto first = static_cast<std::ptrdiff_t>(runs.size());
      for (int repeat = 0; repeat < grid.repeats; ++repeat) {
        runs.push_back({d, p, "no_press", 0.0, repeat});
        for (const std::string& press : grid.presses) {
          const bool by_ratio = parse_press(press, Names::registry).uses_ratio();
          for (const double ratio : by_ratio ? grid.ratios : std::vector<double>{0.0}) {
            runs.push_back({d, p, press, ratio, repeat});
          }
        }
      }
      // The full cache itself stays in front: the others are compared with it.
      shuffle(runs.begin() + first + 1, runs.end(), generator);
    }
  }
  return runs;
}

SweepSlice slice_of(std::size_t n, std::size_t i, std::size_t k) { return {n * i / k, n * (i + 1) / k}; }

}  // namespace kvpress
