// The bytes that the server may hold. What a request may take at most is taken from the budget before it starts and
// given back when it ends, so that the sum never exceeds the limit.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>

namespace kvpress::serve {

/// Thread-safe.
class MemoryBudget {
 public:
  /// A part of the budget, given back by the destructor. The budget must outlive it.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept;
    Share& operator=(Share&& other) noexcept;
    ~Share() { shrink(0); }

    std::size_t bytes() const { return bytes_; }
    /// Gives back all but `bytes`, if it has more.
    void shrink(std::size_t bytes);
    /// Says that it is held until somebody deletes what it is for: nobody can wait for it.
    void pin();

   private:
    friend class MemoryBudget;
    Share(MemoryBudget& budget, std::size_t bytes) : budget_(&budget), bytes_(bytes) {}
    MemoryBudget* budget_ = nullptr;
    std::size_t bytes_ = 0;
    bool pinned_ = false;
  };

  /// `fixed`: what is held in any case, such as weights and scratch. Throws Error with both if nothing is left.
  MemoryBudget(std::size_t limit, std::size_t fixed);

  /// What can be missed: `reclaimable` tells the bytes of it; `reclaim` frees some and returns true, or returns false
  /// if there is nothing left. take() calls both without a lock held.
  void set_reclaimer(std::function<std::size_t()> reclaimable, std::function<bool()> reclaim);

  /// Takes `bytes`, after reclaiming what they need. Nothing is reclaimed, and the result is empty, if that would not
  /// be enough.
  std::optional<Share> take(std::size_t bytes);

  std::size_t limit() const { return limit_; }
  std::size_t fixed() const { return fixed_; }
  /// What shares hold.
  std::size_t taken() const;
  /// limit() less fixed() and taken().
  std::size_t free() const;
  /// The most that a share can ever have: limit() less fixed() and what is pinned.
  std::size_t largest_share() const;

 private:
  void give_back(std::size_t bytes, bool pinned);

  const std::size_t limit_, fixed_;
  mutable std::mutex mutex_;
  std::size_t taken_ = 0;
  std::size_t pinned_ = 0;
  std::function<std::size_t()> reclaimable_;
  std::function<bool()> reclaim_;
};

}  // namespace kvpress::serve
