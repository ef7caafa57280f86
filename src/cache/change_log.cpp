#include "kvpress/cache/change_log.h"

#include <limits>

namespace kvpress {

void ChangeLog::add(std::int64_t first) {
  constexpr std::size_t kMost = 32;
  while (!changes_.empty() && changes_.back().first >= first) changes_.pop_back();
  changes_.push_back({++time_, first});
  if (changes_.size() <= kMost) return;
  changes_[1].first = changes_[0].first;
  changes_.erase(changes_.begin());
}

std::int64_t ChangeLog::first_since(std::uint64_t time) const {
  for (const Change& it : changes_) {
    if (it.time > time) return it.first;
  }
  return std::numeric_limits<std::int64_t>::max();
}

}  // namespace kvpress
