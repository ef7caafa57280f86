// The scheduler: one thread runs the model for all requests. In each round the sequences that decode go together in one
// pass, then one waiting prefill goes on by one pass of at most `chunk` tokens.
//
// So between two tokens of a text lie at most: a pass of all sequences that decode, one pass of a prefill of `chunk`
// tokens (over what its sequence holds), and the compression of one prefill that ends. Presses that look at a whole
// block (PressNeeds::newest_block) take all tokens up to their compression in one pass.
//
// A prefill is cut into passes by its own boundaries and `chunk` alone, and has passes of its own. So its numbers do
// not depend on what else the server does. Sequences that decode together give what each gives alone: the same bits
// where the same kernels run, else within rounding.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "kvpress/engine/sequence.h"
#include "kvpress/model/model.h"
#include "serve/job.h"
#include "serve/memory_budget.h"
#include "serve/snapshots.h"

namespace kvpress::serve {

struct SchedulerSettings {
  std::int64_t chunk = 256;  ///< tokens of a prefill in one pass
  int max_sequences = 16;    ///< that are in work at a time
  std::size_t queue = 64;    ///< jobs that may wait beside those in work
};

struct SchedulerCounts {
  std::size_t waiting = 0, prefilling = 0;
  int decoding = 0;  ///< sequences
  std::uint64_t prompt_tokens = 0, new_tokens = 0, jobs_done = 0, jobs_failed = 0, jobs_cancelled = 0;
  double longest_round_sec = 0;  ///< while a sequence decoded
};

class Scheduler {
 public:
  /// `snapshots` may be null: prefixes are not reused. All must outlive the scheduler.
  Scheduler(const Model& model, MemoryBudget& budget, Snapshots* snapshots, const SchedulerSettings& settings);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  ~Scheduler();

  /// Hands over jobs, all or none. Throws ApiError: 400 for what cannot be, 413 with the numbers if one needs more than
  /// the budget can ever give, 429 if too many wait, 503 after drain().
  void submit(std::span<const std::shared_ptr<Job>> jobs);

  /// Takes no more jobs. Returns whether those at hand ended within `seconds`.
  bool drain(double seconds);
  /// Ends all jobs with an error, and the thread.
  void stop();

  SchedulerCounts counts() const;
  const SchedulerSettings& settings() const { return settings_; }
  const Model& model() const { return model_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Choice;
  struct Active;

  void run();
  void round();
  void admit();
  /// Begins with the job if there is room for it. False: it waits on.
  struct Waiting {
    std::shared_ptr<Job> job;
    Clock::time_point since;
    std::size_t needed = 0;  // bytes that it may take at most
  };
  bool begin(const Waiting& next);
  void drop_cancelled();
  void decode();
  void decode_together(std::span<Choice*> choices);
  void prefill();
  Active* next_prefill();
  void prefill_pass(Active& active);
  void score_pass(Active& active, std::int64_t first, Matrix<const float> hidden);
  void keep_snapshot(const Active& active);
  void begin_choices(Active& active);
  /// The next token of a choice from its logits; false if it has ended.
  void choose(Active& active, Choice& choice, std::span<const float> logits);
  void end_choice(Active& active, Choice& choice, EndReason reason);
  void finish(Active& active);
  void fail(Active& active, std::exception_ptr error);
  int sequences_in_work() const;
  double seconds_until_free() const;

  const Model& model_;
  MemoryBudget& budget_;
  Snapshots* const snapshots_;
  const SchedulerSettings settings_;
  const int n_threads_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Waiting> waiting_;
  bool draining_ = false;
  bool stopping_ = false;
  SchedulerCounts counts_;
  double mean_job_sec_ = 1;  // a running mean

  // Of the scheduler's thread alone.
  std::vector<std::unique_ptr<Active>> active_;
  SequenceBatch batch_;
  AlignedVector<float> hidden_, logits_;
  std::uint64_t n_rounds_ = 0;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace kvpress::serve
