#include "serve/scheduler.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/counted.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "kvpress/base/timer.h"
#include "kvpress/model/not_finite.h"
#include "ops/rowwise.h"
#include "serve/api_error.h"
#include "serve/cache_need.h"

namespace kvpress::serve {
namespace {

/// Text and bookkeeping of a scored token, beside its likeliest.
constexpr std::size_t kScoredBytes = 256;

/// Prefills that leave no more tokens than this are quicker done again than kept.
constexpr std::int64_t kWorthKeeping = 32;

PrefillPlan plan_of(const JobRequest& request, std::int64_t chunk) {
  PrefillPlan plan;
  if (request.context) {
    plan.n_before = request.context->sequence.n_tokens();
    plan.n_held_before = static_cast<std::int64_t>(std::ceil(request.context->sequence.cache_tokens()));
  }
  plan.n_tokens = std::ssize(request.tokens);
  plan.boundaries = request.boundaries;
  plan.chunk = chunk;
  return plan;
}

Sequence empty_sequence(const Model& model, const JobRequest& request) {
  return Sequence(model, request.context ? request.context->sequence.settings() : request.compression);
}

/// The most that a job takes, from its start to its end.
std::size_t most_bytes(const Model& model, const JobRequest& request, std::int64_t chunk) {
  const CacheNeed need(empty_sequence(model, request));
  const PrefillPlan plan = plan_of(request, chunk);
  const std::int64_t more = request.keeps_sequence ? 0 : request.generate.max_new_tokens;
  const std::size_t prefill = need.bytes(need.most_in_prefill(plan), chunk) + need.pass_bytes(plan);
  const std::size_t decode =
      static_cast<std::size_t>(request.n_choices) * need.bytes(need.most_after_prefill(plan) + more, 1);
  const std::size_t n_scored = (request.scores_prompt ? request.tokens.size() : 0) +
                               (request.scores_answer ? static_cast<std::size_t>(more * request.n_choices) : 0);
  return std::max(prefill, decode) + n_scored * (kScoredBytes + static_cast<std::size_t>(request.n_top) * 64);
}

[[noreturn]] void refuse_for_good(std::size_t needed, const MemoryBudget& budget) {
  throw ApiError(
      413, "invalid_request_error", "request_too_large", "",
      fmt::format("the request may take {} of memory, but the most that one can have is {} ({} in all, {} for "
                  "weights and scratch, {} for contexts); use a shorter prompt, a smaller max_tokens or n, or "
                  "a press with a fixed budget and a chunk_size",
                  format_bytes(static_cast<double>(needed)), format_bytes(static_cast<double>(budget.largest_share())),
                  format_bytes(static_cast<double>(budget.limit())), format_bytes(static_cast<double>(budget.fixed())),
                  format_bytes(static_cast<double>(budget.limit() - budget.fixed() - budget.largest_share()))));
}

/// Of each token of the text: the share of the heads that hold it.
std::vector<float> held_shares(const Sequence& sequence) {
  const CacheShape& shape = sequence.cache().shape();
  std::vector<float> shares(static_cast<std::size_t>(sequence.n_tokens()));
  const float share = 1.0f / static_cast<float>(shape.n_layers * shape.n_kv_heads);
  for (std::int64_t l = 0; l < shape.n_layers; ++l) {
    for (std::int64_t h = 0; h < shape.n_kv_heads; ++h) {
      for (const std::int32_t place : sequence.cache().head(l, h).positions()) {
        shares[static_cast<std::size_t>(place)] += share;
      }
    }
  }
  return shares;
}

std::exception_ptr shut_down() {
  return std::make_exception_ptr(
      ApiError(503, "server_error", "shutting_down", "", "the server is shutting down; try again later"));
}

}  // namespace

struct Scheduler::Choice {
  int index;
  Sequence sequence;
  Sampler sampler;
  Active* owner;
  std::int32_t newest = 0;
  std::int64_t n_new = 0;
  bool ended = false;
};

struct Scheduler::Active {
  Active(std::shared_ptr<Job> job_, MemoryBudget::Share share_, Sequence sequence_, const CacheNeed& need_)
      : job(std::move(job_)), share(std::move(share_)), sequence(std::move(sequence_)), need(need_) {}

  const JobRequest& request() const { return job->request; }
  bool prefills() const { return choices.empty() && !done; }

  std::shared_ptr<Job> job;
  MemoryBudget::Share share;
  std::optional<Sequence> sequence;  // until its choices begin
  CacheNeed need;
  std::int64_t n_before = 0;  // tokens of the context
  std::int64_t at = 0;        // tokens of the prompt that were read
  std::size_t first_boundary = 0;
  std::vector<Choice> choices;
  JobUsage usage;
  Clock::time_point begun = Clock::now();
  bool done = false;  // or failed, or cancelled
};

Scheduler::Scheduler(const Model& model, MemoryBudget& budget, Snapshots* snapshots, const SchedulerSettings& settings)
    : model_(model), budget_(budget), snapshots_(snapshots), settings_(settings), n_threads_(threads()) {
  if (settings.chunk < 1) fail_setting("prefill_chunk", "{} is too small; at least 1 is needed", settings.chunk);
  if (settings.max_sequences < 1) {
    fail_setting("max_sequences", "{} is too small; at least 1 is needed", settings.max_sequences);
  }
  thread_ = std::thread([this] { run(); });
}

Scheduler::~Scheduler() { stop(); }

void Scheduler::submit(std::span<const std::shared_ptr<Job>> jobs) {
  std::vector<Waiting> added;
  for (const auto& job : jobs) {
    const JobRequest& request = job->request;
    if (request.tokens.empty() && !request.context) fail_field("prompt", "is empty; at least one token is needed");
    if (request.n_choices > settings_.max_sequences) {
      fail_field("n", "{} is more than the {} sequences that run at a time", request.n_choices,
                 settings_.max_sequences);
    }
    const std::size_t needed = most_bytes(model_, request, settings_.chunk);
    if (needed > budget_.largest_share()) refuse_for_good(needed, budget_);
    added.push_back({job, Clock::now(), needed});
  }
  const std::scoped_lock lock(mutex_);
  if (draining_ || stopping_) std::rethrow_exception(shut_down());
  const int in_work = static_cast<int>(counts_.prefilling) + counts_.decoding;
  const std::size_t at_once = static_cast<std::size_t>(std::max(0, settings_.max_sequences - in_work));
  if (waiting_.size() + jobs.size() > settings_.queue + at_once) {
    ApiError error(
        429, "rate_limit_error", "queue_full", "",
        fmt::format("{} wait already, of {}; try again later", counted(waiting_.size(), "request"), settings_.queue));
    error.retry_after = static_cast<int>(std::clamp(std::ceil(seconds_until_free()), 1.0, 600.0));
    throw error;
  }
  waiting_.insert(waiting_.end(), added.begin(), added.end());
  counts_.waiting = waiting_.size();
  changed_.notify_all();
}

/// Until about half of those that wait now have begun.
double Scheduler::seconds_until_free() const {
  return mean_job_sec_ * static_cast<double>(waiting_.size() + 1) / 2 / settings_.max_sequences;
}

bool Scheduler::drain(double seconds) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  return changed_.wait_for(lock, std::chrono::duration<double>(seconds),
                           [&] { return waiting_.empty() && counts_.prefilling == 0 && counts_.decoding == 0; });
}

void Scheduler::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

SchedulerCounts Scheduler::counts() const {
  const std::scoped_lock lock(mutex_);
  return counts_;
}

void Scheduler::run() {
  set_threads(n_threads_);  // a thread of its own has OpenMP's default
  while (true) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !waiting_.empty() || !active_.empty(); });
      if (stopping_) break;
    }
    round();
    const std::scoped_lock lock(mutex_);
    counts_.prefilling = static_cast<std::size_t>(
        std::count_if(active_.begin(), active_.end(), [](const auto& it) { return it->prefills(); }));
    counts_.decoding = sequences_in_work() - static_cast<int>(counts_.prefilling);
    counts_.waiting = waiting_.size();
    changed_.notify_all();
  }
  for (const auto& it : active_) it->job->listener->on_error(shut_down());
  active_.clear();
  const std::scoped_lock lock(mutex_);
  for (const Waiting& it : waiting_) it.job->listener->on_error(shut_down());
  waiting_.clear();
  counts_.waiting = counts_.prefilling = 0;
  counts_.decoding = 0;
  changed_.notify_all();
}

int Scheduler::sequences_in_work() const {
  int n = 0;
  for (const auto& it : active_) {
    if (it->done) continue;
    n += it->choices.empty() ? 1
                             : static_cast<int>(std::count_if(it->choices.begin(), it->choices.end(),
                                                              [](const Choice& c) { return !c.ended; }));
  }
  return n;
}

void Scheduler::round() {
  drop_cancelled();
  admit();
  const bool decodes = std::any_of(active_.begin(), active_.end(), [](const auto& it) { return !it->prefills(); });
  const Timer timer;
  decode();
  prefill();
  if (decodes) {
    const std::scoped_lock lock(mutex_);
    counts_.longest_round_sec = std::max(counts_.longest_round_sec, timer.seconds());
  }
  std::erase_if(active_, [](const auto& it) { return it->done; });
  ++n_rounds_;
}

void Scheduler::drop_cancelled() {
  std::uint64_t n = std::erase_if(active_, [](const auto& it) { return it->job->is_cancelled(); });
  const std::scoped_lock lock(mutex_);
  n += std::erase_if(waiting_, [](const Waiting& it) { return it.job->is_cancelled(); });
  counts_.jobs_cancelled += n;
}

void Scheduler::admit() {
  while (true) {
    Waiting next;
    {
      const std::scoped_lock lock(mutex_);
      if (waiting_.empty()) return;
      next = waiting_.front();
    }
    // The first in the queue goes first: it is not overtaken by smaller ones for ever.
    int reserved = 0;
    for (const auto& it : active_) reserved += it->choices.empty() ? it->request().n_choices : 0;
    for (const auto& it : active_) reserved += static_cast<int>(it->choices.size());
    if (reserved + next.job->request.n_choices > settings_.max_sequences) return;
    if (!begin(next)) return;
    const std::scoped_lock lock(mutex_);
    waiting_.pop_front();
    ++counts_.prefilling;  // at no moment does it seem that there is nothing to do
  }
}

bool Scheduler::begin(const Waiting& next) {
  const std::shared_ptr<Job>& job = next.job;
  try {
    const JobRequest& request = job->request;
    std::optional<MemoryBudget::Share> share = budget_.take(next.needed);
    if (!share) {
      if (next.needed > budget_.largest_share())
        refuse_for_good(next.needed, budget_);  // a context was added meanwhile
      return false;
    }
    Sequence empty = empty_sequence(model_, request);
    const CacheNeed need(empty);
    std::optional<Sequence> sequence;
    const bool may_reuse =
        snapshots_ != nullptr && request.uses_snapshots && !request.context && !request.scores_prompt;
    if (request.context) {
      sequence = request.context->sequence.fork();
      if (!sequence->decodes()) sequence->begin_decoding();
    } else if (may_reuse) {
      sequence = snapshots_->find(request.settings_key, request.tokens, request.boundaries);
    }
    const bool reused = sequence.has_value();
    auto active =
        std::make_unique<Active>(job, std::move(*share), reused ? std::move(*sequence) : std::move(empty), need);
    if (request.context) {
      active->n_before = active->sequence->n_tokens();
    } else if (reused) {
      active->at = active->sequence->n_tokens();
    }
    while (active->first_boundary < request.boundaries.size() &&
           request.boundaries[active->first_boundary] <= active->at) {
      ++active->first_boundary;
    }
    active->usage.prompt_tokens = active->n_before + std::ssize(request.tokens);
    active->usage.reused_tokens = active->n_before + active->at;
    active->usage.wait_sec = std::chrono::duration<double>(active->begun - next.since).count();
    active_.push_back(std::move(active));
  } catch (...) {
    job->listener->on_error(std::current_exception());
  }
  return true;
}

void Scheduler::decode() {
  std::vector<Choice*> choices;
  for (const auto& it : active_) {
    for (Choice& choice : it->choices) {
      if (!choice.ended) choices.push_back(&choice);
    }
  }
  if (choices.empty()) return;
  try {
    decode_together(choices);
  } catch (...) {
    // What a pass has thrown leaves none of its sequences fit to go on.
    for (const auto& it : active_) {
      if (!it->prefills() && !it->done) fail(*it, std::current_exception());
    }
  }
}

void Scheduler::decode_together(std::span<Choice*> choices) {
  const Timer timer;
  const std::int64_t cols = model_.config().hidden_size;
  const std::int64_t vocab = model_.config().vocab_size;
  const auto n = static_cast<std::int64_t>(choices.size());
  hidden_.resize(static_cast<std::size_t>(n * cols));
  logits_.resize(static_cast<std::size_t>(n * vocab));
  const Matrix<float> states(hidden_.data(), n, cols);
  std::vector<SequenceBatch::Item> items;
  items.reserve(choices.size());
  for (std::int64_t i = 0; i < n; ++i) {
    Choice& choice = *choices[static_cast<std::size_t>(i)];
    items.push_back({choice.sequence, {&choice.newest, 1}, states.block(i, 1)});
  }
  batch_.append(items);
  model_.logits(states, {logits_.data(), n, vocab});
  const double seconds = timer.seconds();
  for (std::int64_t i = 0; i < n; ++i) {
    Choice& choice = *choices[static_cast<std::size_t>(i)];
    Active& active = *choice.owner;
    active.usage.decode_sec += seconds / static_cast<double>(n);
    if (active.done) continue;
    try {
      const float* const row = logits_.data() + i * vocab;
      if (!all_finite(row, vocab)) {
        throw NotFinite(choice.sequence.n_tokens() - 1, choice.newest, "the logits that follow it are not finite",
                        remedy_for(model_.dtype()));
      }
      choose(active, choice, {row, static_cast<std::size_t>(vocab)});
    } catch (...) {
      fail(active, std::current_exception());
    }
  }
}

void Scheduler::choose(Active& active, Choice& choice, std::span<const float> logits) {
  const JobRequest& request = active.request();
  GeneratedToken token;
  token.id = choice.sampler.next(logits);
  const std::vector<std::int32_t>& ends = model_.config().eos_ids;
  if (!request.generate.ignore_eos && std::find(ends.begin(), ends.end(), token.id) != ends.end()) {
    end_choice(active, choice, EndReason::end_of_text);
    return;
  }
  if (request.scores_answer) token.scored = score_token(logits, token.id, request.n_top);
  token.cache_tokens = choice.sequence.cache_tokens();
  token.cache_bytes = choice.sequence.cache_bytes();
  choice.newest = token.id;
  ++choice.n_new;
  ++active.usage.new_tokens;
  if (!active.job->listener->on_token(choice.index, token)) {
    end_choice(active, choice, EndReason::listener);
  } else if (choice.n_new >= request.generate.max_new_tokens) {
    end_choice(active, choice, EndReason::length);
  }
}

void Scheduler::end_choice(Active& active, Choice& choice, EndReason reason) {
  choice.ended = true;
  if (choice.index == 0) active.usage.cache_tokens = choice.sequence.cache_tokens();
  active.usage.cache_bytes += choice.sequence.cache_bytes();
  active.job->listener->on_end(choice.index, reason);
  const auto ended = [](const Choice& it) { return it.ended; };
  if (std::all_of(active.choices.begin(), active.choices.end(), ended)) finish(active);
}

/// In turn the one that came first and the one with the least left to read, so that nobody waits for ever and a short
/// prompt does not wait for a long one.
Scheduler::Active* Scheduler::next_prefill() {
  Active* next = nullptr;
  const auto left = [](const Active& it) { return std::ssize(it.request().tokens) - it.at; };
  for (const auto& it : active_) {
    if (!it->prefills()) continue;
    if (next == nullptr || (n_rounds_ % 2 == 1 && left(*it) < left(*next))) next = it.get();
  }
  return next;
}

void Scheduler::prefill() {
  Active* const active = next_prefill();
  if (active == nullptr) return;
  try {
    const Timer timer;
    if (active->at < std::ssize(active->request().tokens)) prefill_pass(*active);
    active->usage.prefill_sec += timer.seconds();
    if (active->at == std::ssize(active->request().tokens)) begin_choices(*active);
  } catch (...) {
    fail(*active, std::current_exception());
  }
}

void Scheduler::prefill_pass(Active& active) {
  const JobRequest& request = active.request();
  Sequence& sequence = *active.sequence;
  const auto n_all = std::ssize(request.tokens);
  const bool has_boundary = active.first_boundary < request.boundaries.size();
  std::int64_t end = has_boundary ? request.boundaries[active.first_boundary] : n_all;
  const std::int64_t compressed_at = has_boundary ? end : -1;
  if (request.decode_from) {
    if (active.at >= *request.decode_from && !sequence.decodes()) sequence.begin_decoding();
    if (active.at < *request.decode_from) end = std::min(end, *request.decode_from);
  }
  if (!active.need.wants_whole_block()) end = std::min(end, active.at + settings_.chunk);
  const std::int64_t n = end - active.at;
  if (!sequence.decodes()) sequence.set_compressing(end == compressed_at);
  const std::span<const std::int32_t> tokens =
      std::span(request.tokens).subspan(static_cast<std::size_t>(active.at), static_cast<std::size_t>(n));
  if (request.scores_prompt) {
    const std::int64_t cols = model_.config().hidden_size;
    AlignedVector<float> hidden(static_cast<std::size_t>(n * cols));
    // What a context ends with, or the pass before, predicts this pass's first token.
    if (active.at == 0 && request.context) score_pass(active, -1, sequence.last_hidden());
    sequence.append(tokens, {hidden.data(), n, cols});
    score_pass(active, active.at, {hidden.data(), n, cols});
  } else {
    sequence.append(tokens);
  }
  active.at = end;
  if (end == compressed_at) ++active.first_boundary;
  {
    const std::scoped_lock lock(mutex_);
    counts_.prompt_tokens += static_cast<std::uint64_t>(n);
  }
  keep_snapshot(active);
}

/// `first`: the token of the prompt that made the first row; it predicts the one after it.
void Scheduler::score_pass(Active& active, std::int64_t first, Matrix<const float> hidden) {
  const auto& tokens = active.request().tokens;
  const std::int64_t n = std::min<std::int64_t>(hidden.rows, std::ssize(tokens) - first - 1);
  if (n <= 0) return;
  active.job->listener->on_prompt_scored(
      score_tokens(model_, hidden.block(0, n),
                   std::span(tokens).subspan(static_cast<std::size_t>(first + 1), static_cast<std::size_t>(n)),
                   active.request().n_top));
}

/// After each compression, and where the last whole chunk before the end of the prompt ends: another prompt may go on
/// differently from there.
void Scheduler::keep_snapshot(const Active& active) {
  const JobRequest& request = active.request();
  const Sequence& sequence = *active.sequence;
  if (snapshots_ == nullptr || !request.uses_snapshots || request.context || request.scores_prompt) return;
  if (sequence.decodes() || request.keeps_sequence) return;
  const std::int64_t last = active.first_boundary > 0 ? request.boundaries[active.first_boundary - 1] : 0;
  const std::int64_t next = active.first_boundary < request.boundaries.size()
                                ? request.boundaries[active.first_boundary]
                                : std::ssize(request.tokens);
  const bool compressed = last == active.at;
  const bool last_chunk = next == std::ssize(request.tokens) && next - active.at < settings_.chunk && active.at < next;
  if (active.at < kWorthKeeping || (!compressed && !last_chunk)) return;
  const std::size_t bytes =
      sequence.cache_bytes() + active.need.bytes(0, 0) + request.tokens.size() * sizeof(std::int32_t);
  snapshots_->store(request.settings_key, std::span(request.boundaries).first(active.first_boundary), sequence, bytes);
}

void Scheduler::begin_choices(Active& active) {
  const JobRequest& request = active.request();
  Sequence& sequence = *active.sequence;
  const SequenceTimes times = sequence.times();
  active.usage.compress_sec = times.compress;
  active.usage.peak_bytes = sequence.peak_bytes();
  active.usage.cache_tokens = sequence.cache_tokens();
  const auto held = static_cast<std::int64_t>(std::ceil(sequence.cache_tokens()));
  if (request.keeps_sequence) {
    sequence.begin_decoding();  // what follows is read by decoding; the press has done its work
    active.share.shrink(active.need.bytes(held, 1));
    active.usage.cache_bytes = sequence.cache_bytes();
    active.job->listener->on_sequence(std::move(sequence), std::move(active.share));
    finish(active);
    return;
  }
  if (!sequence.decodes()) sequence.begin_decoding();
  if (request.reports_held) active.job->listener->on_held(held_shares(sequence));
  if (request.generate.max_new_tokens == 0) {
    active.usage.cache_bytes = sequence.cache_bytes();
    for (int i = 0; i < request.n_choices; ++i) active.job->listener->on_end(i, EndReason::length);
    finish(active);
    return;
  }
  // Compressed, it holds less: the rest of what was taken for it is for others.
  active.share.shrink(static_cast<std::size_t>(request.n_choices) *
                      active.need.bytes(held + request.generate.max_new_tokens, 1));
  const std::span<const float> all = sequence.logits();
  const std::vector<float> logits(all.begin(), all.end());
  active.choices.reserve(static_cast<std::size_t>(request.n_choices));
  for (int i = 0; i < request.n_choices; ++i) {
    GenerateSettings settings = request.generate;
    settings.seed += static_cast<std::uint64_t>(i);
    Sequence own = i + 1 < request.n_choices ? sequence.fork() : std::move(sequence);
    active.choices.push_back({i, std::move(own), Sampler(std::move(settings)), &active});
  }
  active.sequence.reset();
  for (Choice& choice : active.choices) choose(active, choice, logits);
}

void Scheduler::finish(Active& active) {
  active.done = true;  // what it holds is freed at the end of the round
  const double seconds = std::chrono::duration<double>(Clock::now() - active.begun).count();
  {
    const std::scoped_lock lock(mutex_);
    ++counts_.jobs_done;
    counts_.new_tokens += static_cast<std::uint64_t>(active.usage.new_tokens);
    mean_job_sec_ += 0.1 * (seconds - mean_job_sec_);
  }
  active.job->listener->on_done(active.usage);
}

void Scheduler::fail(Active& active, std::exception_ptr error) {
  active.done = true;
  {
    const std::scoped_lock lock(mutex_);
    ++counts_.jobs_failed;
  }
  active.job->listener->on_error(std::move(error));
}

}  // namespace kvpress::serve
