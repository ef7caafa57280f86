#include "serve/connection_pool.h"

#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

namespace kvpress::serve {
namespace {

constexpr std::chrono::seconds kIdle{10};

}  // namespace

void ConnectionPool::enqueue(std::function<void()> job) {
  const std::scoped_lock lock(mutex_);
  jobs_.push_back(std::move(job));
  if (jobs_.size() > n_idle_ && n_threads_ < most_) {
    try {
      std::thread([this] { work(); }).detach();
      ++n_threads_;
    } catch (const std::system_error&) {
      // The job waits for a thread that is there.
    }
  }
  changed_.notify_one();
}

void ConnectionPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++n_idle_;
    const bool found = changed_.wait_for(lock, kIdle, [&] { return !jobs_.empty() || closing_; });
    --n_idle_;
    if (!found || jobs_.empty()) break;
    std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = {};
    lock.lock();
  }
  --n_threads_;
  ended_.notify_all();  // with the lock held: the pool may be destroyed right after
}

void ConnectionPool::shutdown() {
  std::unique_lock lock(mutex_);
  closing_ = true;
  changed_.notify_all();
  ended_.wait(lock, [&] { return n_threads_ == 0; });
}

}  // namespace kvpress::serve
