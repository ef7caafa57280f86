// A listener that keeps what a job tells it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "serve/job.h"

namespace kvpress::serve::test {

class Collector : public JobListener {
 public:
  void on_prompt_scored(std::vector<ScoredToken> scores) override {
    const std::scoped_lock lock(mutex_);
    prompt.insert(prompt.end(), scores.begin(), scores.end());
  }
  void on_held(std::vector<float> shares) override { held = std::move(shares); }
  bool on_token(int choice, const GeneratedToken& token) override {
    const std::scoped_lock lock(mutex_);
    tokens[choice].push_back(token.id);
    scored[choice].push_back(token.scored);
    times.push_back(std::chrono::steady_clock::now());
    changed_.notify_all();
    return static_cast<std::int64_t>(tokens[choice].size()) != stop_after;
  }
  void on_end(int choice, EndReason reason) override {
    const std::scoped_lock lock(mutex_);
    ends[choice] = reason;
  }
  void on_sequence(Sequence sequence_, MemoryBudget::Share share_) override {
    sequence.emplace(std::move(sequence_));
    share = std::move(share_);
  }
  void on_done(const JobUsage& usage_) override {
    const std::scoped_lock lock(mutex_);
    usage = usage_;
    done_ = true;
    changed_.notify_all();
  }
  void on_error(std::exception_ptr error_) override {
    const std::scoped_lock lock(mutex_);
    error = std::move(error_);
    done_ = true;
    changed_.notify_all();
  }

  /// Rethrows the error of the job.
  void wait() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(120), [&] { return done_; })) throw Error("the job does not end");
    if (error) std::rethrow_exception(error);
  }
  void wait_for_tokens(std::size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(120), [&] { return tokens[0].size() >= n || done_; });
  }
  bool is_done() {
    const std::scoped_lock lock(mutex_);
    return done_;
  }

  std::int64_t stop_after = -1;
  std::vector<ScoredToken> prompt;
  std::vector<float> held;
  std::map<int, std::vector<std::int32_t>> tokens;
  std::map<int, std::vector<ScoredToken>> scored;
  std::map<int, EndReason> ends;
  std::vector<std::chrono::steady_clock::time_point> times;
  JobUsage usage;
  std::exception_ptr error;
  std::optional<Sequence> sequence;
  MemoryBudget::Share share;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
};

}  // namespace kvpress::serve::test
