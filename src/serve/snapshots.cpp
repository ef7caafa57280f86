#include "serve/snapshots.h"

#include <algorithm>
#include <utility>

namespace kvpress::serve {

Snapshots::Snapshots(MemoryBudget& budget) : budget_(budget) {
  budget_.set_reclaimer([this] { return counts().bytes; }, [this] { return drop_one(); });
}

bool Snapshots::begins(const Entry& entry, const std::string& settings, std::span<const std::int32_t> tokens,
                       std::span<const std::int64_t> boundaries) {
  const std::span<const std::int32_t> own = entry.sequence.tokens();
  if (own.size() > tokens.size() || entry.settings != settings) return false;
  const auto n = static_cast<std::int64_t>(own.size());
  const auto end = std::upper_bound(boundaries.begin(), boundaries.end(), n);
  return std::equal(entry.boundaries.begin(), entry.boundaries.end(), boundaries.begin(), end) &&
         std::equal(own.begin(), own.end(), tokens.begin());
}

std::optional<Sequence> Snapshots::find(const std::string& settings, std::span<const std::int32_t> tokens,
                                        std::span<const std::int64_t> boundaries) {
  const std::scoped_lock lock(mutex_);
  auto longest = entries_.end();
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (!begins(*it, settings, tokens, boundaries)) continue;
    if (longest == entries_.end() || it->sequence.n_tokens() > longest->sequence.n_tokens()) longest = it;
  }
  if (longest == entries_.end()) {
    ++counts_.misses;
    return {};
  }
  ++counts_.hits;
  counts_.tokens_reused += static_cast<std::uint64_t>(longest->sequence.n_tokens());
  entries_.splice(entries_.begin(), entries_, longest);
  return longest->sequence.fork();
}

void Snapshots::store(const std::string& settings, std::span<const std::int64_t> boundaries, const Sequence& sequence,
                      std::size_t bytes) {
  {
    const std::scoped_lock lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->sequence.n_tokens() != sequence.n_tokens() || !begins(*it, settings, sequence.tokens(), boundaries)) {
        continue;
      }
      entries_.splice(entries_.begin(), entries_, it);
      return;
    }
  }
  std::optional<MemoryBudget::Share> share = budget_.take(bytes);
  if (!share) return;
  Entry entry{settings, {boundaries.begin(), boundaries.end()}, sequence.fork(), std::move(*share)};
  const std::scoped_lock lock(mutex_);
  entries_.push_front(std::move(entry));
}

bool Snapshots::drop_one() {
  std::list<Entry> dropped;  // freed without the lock, which the budget's is not to be taken under
  const std::scoped_lock lock(mutex_);
  if (entries_.empty()) return false;
  dropped.splice(dropped.begin(), entries_, std::prev(entries_.end()));
  ++counts_.evicted;
  return true;
}

void Snapshots::clear() {
  const std::scoped_lock lock(mutex_);
  entries_.clear();
}

SnapshotCounts Snapshots::counts() const {
  const std::scoped_lock lock(mutex_);
  SnapshotCounts counts = counts_;
  counts.entries = entries_.size();
  for (const Entry& it : entries_) counts.bytes += it.share.bytes();
  return counts;
}

}  // namespace kvpress::serve
