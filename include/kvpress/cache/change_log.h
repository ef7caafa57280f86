// Which entries of a KV head still stand as they stood at some time.
#pragma once

#include <cstdint>
#include <vector>

namespace kvpress {

/// Remembers changes as "entries from `first` on, at a time". Takes little room: old changes are run together, which
/// may call more entries changed than were.
class ChangeLog {
 public:
  std::uint64_t now() const { return time_; }
  /// Entries from `first` on are changed or gone.
  void add(std::int64_t first);
  /// The first entry that was changed after `time`; beyond all entries when none was.
  std::int64_t first_since(std::uint64_t time) const;

 private:
  struct Change {
    std::uint64_t time;
    std::int64_t first;
  };
  std::uint64_t time_ = 0;
  std::vector<Change> changes_;  // both ascending: one that a later one covers is left out
};

}  // namespace kvpress
