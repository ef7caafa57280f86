// Snapshots of prefills: copies of sequences at places where later requests may go on. A request takes the longest
// that has exactly its settings, its tokens and its compressions so far, so that it gives the same with it as without.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kvpress/engine/sequence.h"
#include "serve/memory_budget.h"

namespace kvpress::serve {

struct SnapshotCounts {
  std::size_t entries = 0;
  std::size_t bytes = 0;
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  std::uint64_t evicted = 0;
  std::uint64_t tokens_reused = 0;
};

/// Thread-safe. Those that were used least recently leave first, when the budget needs their bytes.
class Snapshots {
 public:
  /// The budget must outlive the snapshots; they become its reclaimer.
  explicit Snapshots(MemoryBudget& budget);

  /// A copy of the longest snapshot of these settings whose tokens begin `tokens` and which was compressed exactly at
  /// those of `boundaries` that lie within it. Its bytes must have been taken from the budget by the caller.
  std::optional<Sequence> find(const std::string& settings, std::span<const std::int32_t> tokens,
                               std::span<const std::int64_t> boundaries);

  /// Keeps a copy of the sequence, unless there is one already or no room. `boundaries`: where it was compressed.
  void store(const std::string& settings, std::span<const std::int64_t> boundaries, const Sequence& sequence,
             std::size_t bytes);

  /// Drops the one that was used least recently. Returns false if there is none.
  bool drop_one();
  void clear();
  SnapshotCounts counts() const;

 private:
  struct Entry {
    std::string settings;
    std::vector<std::int64_t> boundaries;
    Sequence sequence;
    MemoryBudget::Share share;
  };
  /// Whether the entry is a beginning of what is asked for.
  static bool begins(const Entry& entry, const std::string& settings, std::span<const std::int32_t> tokens,
                     std::span<const std::int64_t> boundaries);

  MemoryBudget& budget_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the one used last comes first
  SnapshotCounts counts_;
};

}  // namespace kvpress::serve
