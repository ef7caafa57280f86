// Threads for connections: as many as there are connections at hand, up to a limit. One that has nothing to do for a
// while ends.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace kvpress::serve {

class ConnectionPool {
 public:
  explicit ConnectionPool(std::size_t most) : most_(most) {}
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;
  ~ConnectionPool() { shutdown(); }

  void enqueue(std::function<void()> job);
  /// Does what was handed over, then ends all threads.
  void shutdown();

 private:
  void work();

  const std::size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_, ended_;
  std::deque<std::function<void()>> jobs_;
  std::size_t n_threads_ = 0;
  std::size_t n_idle_ = 0;
  bool closing_ = false;
};

}  // namespace kvpress::serve
