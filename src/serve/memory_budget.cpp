#include "serve/memory_budget.h"

#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"

namespace kvpress::serve {

MemoryBudget::Share::Share(Share&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      pinned_(std::exchange(other.pinned_, false)) {}

MemoryBudget::Share& MemoryBudget::Share::operator=(Share&& other) noexcept {
  if (this == &other) return *this;
  shrink(0);
  budget_ = std::exchange(other.budget_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  pinned_ = std::exchange(other.pinned_, false);
  return *this;
}

void MemoryBudget::Share::shrink(std::size_t bytes) {
  if (bytes >= bytes_) return;
  budget_->give_back(bytes_ - bytes, pinned_);
  bytes_ = bytes;
}

void MemoryBudget::Share::pin() {
  if (budget_ == nullptr || pinned_) return;
  const std::scoped_lock lock(budget_->mutex_);
  budget_->pinned_ += bytes_;
  pinned_ = true;
}

MemoryBudget::MemoryBudget(std::size_t limit, std::size_t fixed) : limit_(limit), fixed_(fixed) {
  if (limit > fixed) return;
  fail_setting("memory", "{} are not enough: weights and scratch take {}; give more",
               format_bytes(static_cast<double>(limit)), format_bytes(static_cast<double>(fixed)));
}

void MemoryBudget::set_reclaimer(std::function<std::size_t()> reclaimable, std::function<bool()> reclaim) {
  reclaimable_ = std::move(reclaimable);
  reclaim_ = std::move(reclaim);
}

std::optional<MemoryBudget::Share> MemoryBudget::take(std::size_t bytes) {
  const std::size_t more = reclaimable_ ? reclaimable_() : 0;
  if (bytes > free() + more) return {};
  while (true) {
    {
      const std::scoped_lock lock(mutex_);
      if (bytes <= limit_ - fixed_ - taken_) {
        taken_ += bytes;
        return Share(*this, bytes);
      }
    }
    if (!reclaim_ || !reclaim_()) return {};
  }
}

std::size_t MemoryBudget::taken() const {
  const std::scoped_lock lock(mutex_);
  return taken_;
}

std::size_t MemoryBudget::free() const { return limit_ - fixed_ - taken(); }

std::size_t MemoryBudget::largest_share() const {
  const std::scoped_lock lock(mutex_);
  return limit_ - fixed_ - pinned_;
}

void MemoryBudget::give_back(std::size_t bytes, bool pinned) {
  const std::scoped_lock lock(mutex_);
  taken_ -= bytes;
  if (pinned) pinned_ -= bytes;
}

}  // namespace kvpress::serve
