#include "base/closest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <vector>

namespace kvpress {
namespace {

char folded(char c) { return c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

/// The fewest letters to add, leave out, change or swap with their neighbour (optimal string alignment). Case does not
/// count, nor - instead of _.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> last(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const char x = folded(a[i - 1]);
      const char y = folded(b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (x == y ? 0 : 1)});
      if (i > 1 && j > 1 && x == folded(b[j - 2]) && folded(a[i - 2]) == y)
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view name, std::span<const std::string> known) {
  constexpr std::size_t kLongest = 100;
  if (name.empty() || name.size() > kLongest) return "";
  std::size_t least = std::max<std::size_t>(1, name.size() / 3) + 1;
  const std::string* best = nullptr;
  for (const std::string& it : known) {
    const std::size_t here = distance(name, it);
    if (here >= least) continue;
    least = here;
    best = &it;
  }
  return best == nullptr ? "" : fmt::format(" (did you mean '{}'?)", *best);
}

std::string is_not_known(std::string_view name, std::span<const std::string> known) {
  return fmt::format("'{}' is not known{}; known: {}", name, did_you_mean(name, known), fmt::join(known, ", "));
}

}  // namespace kvpress
