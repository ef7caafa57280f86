// The scheduler: each request gets what it would get alone, within the budget, whatever others do.
#include "serve/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "collector.h"
#include "kvpress/engine/generate.h"
#include "kvpress/eval/run.h"
#include "serve/api_error.h"
#include "serve/cache_need.h"
#include "serve/cache_request.h"
#include "small_model.h"

namespace kvpress::serve {
namespace {

using test::Collector;
using Ids = std::vector<std::int32_t>;

constexpr std::size_t kFixed = 1 << 20;
constexpr std::size_t kLimit = std::size_t{256} << 20;

CompressionSettings settings_of(const std::string& press, double ratio = 0.5) {
  CompressionSettings settings;
  settings.press = parse_press(press);
  settings.budget = Budget::of_ratio(ratio);
  return settings;
}

constexpr std::int32_t kEnd = 7;

ModelConfig small_config() {
  ModelConfig config = kvpress::test::small_config();
  config.eos_ids = {kEnd};
  return config;
}

struct Server {
  explicit Server(const Model& model, const SchedulerSettings& settings = {.chunk = 64}, std::size_t limit = kLimit,
                  bool with_snapshots = true)
      : budget(limit, kFixed),
        snapshots(budget),
        scheduler(model, budget, with_snapshots ? &snapshots : nullptr, settings) {}

  std::shared_ptr<Job> submit(JobRequest request, const std::shared_ptr<Collector>& collector) {
    auto job = std::make_shared<Job>(std::move(request), collector);
    scheduler.submit({&job, 1});
    return job;
  }
  std::shared_ptr<Collector> run(JobRequest request) {
    auto collector = std::make_shared<Collector>();
    submit(std::move(request), collector);
    collector->wait();
    return collector;
  }
  /// Until the thread has put away what ended.
  void wait_until_idle() {
    for (int i = 0; i < 2000; ++i) {
      const SchedulerCounts counts = scheduler.counts();
      if (counts.waiting == 0 && counts.prefilling == 0 && counts.decoding == 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    FAIL() << "the scheduler does not come to rest";
  }

  MemoryBudget budget;
  Snapshots snapshots;
  Scheduler scheduler;
};

class Scheduling : public testing::Test {
 protected:
  Scheduling()
      : model_(random_model(small_config(), {false, DType::f32}, 5)), text_(kvpress::test::random_text(2000).ids) {}

  Ids tokens(std::size_t first, std::size_t n) const {
    return {text_.begin() + static_cast<std::ptrdiff_t>(first), text_.begin() + static_cast<std::ptrdiff_t>(first + n)};
  }
  JobRequest request(const Ids& prompt, const CompressionSettings& settings, std::int64_t n_new) const {
    JobRequest request;
    request.tokens = prompt;
    request.boundaries = {std::ssize(prompt)};
    request.compression = settings;
    request.settings_key = settings_key(settings);
    request.generate.max_new_tokens = n_new;
    request.generate.ignore_eos = true;
    return request;
  }
  /// What a sequence gives that is read in passes of `chunk` tokens and compressed at the end, with nobody else there.
  Ids alone(const Ids& prompt, const CompressionSettings& settings, std::int64_t n_new, std::size_t chunk = 64) const {
    Sequence sequence(model_, settings);
    for (std::size_t at = 0; at < prompt.size(); at += chunk) {
      const std::size_t n = std::min(chunk, prompt.size() - at);
      sequence.set_compressing(at + n == prompt.size());
      sequence.append(std::span(prompt).subspan(at, n));
    }
    return generate(sequence, {.max_new_tokens = n_new, .ignore_eos = true}).ids;
  }

  Model model_;
  Ids text_;
};

TEST_F(Scheduling, GivesWhatASequenceGivesAlone) {
  Server server(model_);
  for (const char* press : {"no_press", "knorm", "snapkv(window_size=16)", "adakv(snapkv)", "expected_attention",
                            "observed_attention", "kvzip", "decoding(knorm, compression_interval=5, target_size=40)"}) {
    const Ids prompt = tokens(0, 150);
    const auto collector = server.run(request(prompt, settings_of(press), 12));
    EXPECT_EQ(collector->tokens[0], alone(prompt, settings_of(press), 12)) << press;
    EXPECT_EQ(collector->ends[0], EndReason::length);
    EXPECT_EQ(collector->usage.prompt_tokens, 150);
    EXPECT_EQ(collector->usage.new_tokens, 12);
  }
}

TEST_F(Scheduling, GivesTheSameAmongOthers) {
  const std::pair<const char*, std::size_t> kKinds[] = {
      {"no_press", 37}, {"snapkv(window_size=16)", 150}, {"adakv(snapkv)", 220},
      {"knorm", 90},    {"expected_attention", 120},     {"streaming_llm", 300},
      {"no_press", 64}, {"observed_attention", 65}};
  std::vector<Ids> expected;
  for (std::size_t i = 0; i < std::size(kKinds); ++i) {
    expected.push_back(
        alone(tokens(i * 31, kKinds[i].second), settings_of(kKinds[i].first), 20 + std::ssize(expected)));
  }
  for (const bool with_snapshots : {false, true}) {
    Server server(model_, {.chunk = 64, .max_sequences = 5}, kLimit, with_snapshots);
    for (int round = 0; round < 2; ++round) {  // the second begins from snapshots
      std::vector<std::shared_ptr<Collector>> collectors;
      for (std::size_t i = 0; i < std::size(kKinds); ++i) {
        collectors.push_back(std::make_shared<Collector>());
        server.submit(
            request(tokens(i * 31, kKinds[i].second), settings_of(kKinds[i].first), 20 + static_cast<std::int64_t>(i)),
            collectors.back());
      }
      for (std::size_t i = 0; i < collectors.size(); ++i) {
        collectors[i]->wait();
        EXPECT_EQ(collectors[i]->tokens[0], expected[i]) << kKinds[i].first;
        EXPECT_EQ(collectors[i]->usage.reused_tokens > 0, with_snapshots && round == 1) << kKinds[i].first;
      }
    }
  }
}

TEST_F(Scheduling, SnapshotsFitByTokensSettingsAndBoundaries) {
  Server server(model_);
  const auto ask = [&](const Ids& prompt, const std::vector<std::int64_t>& boundaries,
                       const CompressionSettings& settings) {
    JobRequest it = request(prompt, settings, 8);
    it.boundaries = boundaries;
    const auto with = server.run(it);
    it.uses_snapshots = false;
    const auto without = server.run(it);
    EXPECT_EQ(with->tokens, without->tokens);
    return with->usage.reused_tokens;
  };
  const CompressionSettings snapkv = settings_of("snapkv(window_size=16)");
  EXPECT_EQ(ask(tokens(0, 200), {100, 200}, snapkv), 0);
  EXPECT_EQ(ask(tokens(0, 200), {100, 200}, snapkv), 200);
  EXPECT_EQ(ask(tokens(0, 300), {100, 200, 300}, snapkv), 200);
  EXPECT_EQ(ask(tokens(0, 260), {100, 260}, snapkv), 164) << "the last whole chunk of the first";
  EXPECT_EQ(ask(tokens(0, 200), {200}, snapkv), 0) << "not compressed at 100";
  EXPECT_EQ(ask(tokens(0, 200), {100, 200}, settings_of("snapkv(window_size=16)", 0.25)), 0);
  Ids other = tokens(0, 200);
  other[50] = (other[50] + 1) % 500;
  EXPECT_EQ(ask(other, {100, 200}, snapkv), 0);
  other = tokens(0, 200);
  other[150] = (other[150] + 1) % 500;
  EXPECT_EQ(ask(other, {100, 200}, snapkv), 100);
}

TEST_F(Scheduling, SnapshotsMakeRoom) {
  const CompressionSettings full = settings_of("no_press", 0);
  const CacheNeed need(Sequence(model_, full));
  // Room for one request and about three snapshots of it.
  Server server(model_, {.chunk = 64}, kFixed + need.bytes(260, 64) + 3 * need.bytes(260, 64));
  for (std::size_t i = 0; i < 8; ++i) {
    const auto collector = server.run(request(tokens(i * 100, 250), full, 4));
    EXPECT_EQ(collector->tokens[0], alone(tokens(i * 100, 250), full, 4));
  }
  server.wait_until_idle();
  const SnapshotCounts counts = server.snapshots.counts();
  EXPECT_GT(counts.evicted, 0);
  EXPECT_GT(counts.entries, 0);
  EXPECT_EQ(server.budget.taken(), counts.bytes);
  EXPECT_LE(server.budget.taken() + kFixed, server.budget.limit());
}

TEST_F(Scheduling, ChoicesHaveSeedsOfTheirOwn) {
  Server server(model_);
  const CompressionSettings settings = settings_of("knorm");
  JobRequest it = request(tokens(0, 80), settings, 10);
  it.generate.temperature = 1;
  it.generate.seed = 3;
  it.n_choices = 3;
  const auto collector = server.run(it);
  EXPECT_NE(collector->tokens[0], collector->tokens[1]);
  for (int choice = 0; choice < 3; ++choice) {
    JobRequest single = it;
    single.n_choices = 1;
    single.generate.seed = 3 + static_cast<std::uint64_t>(choice);
    EXPECT_EQ(server.run(single)->tokens[0], collector->tokens[choice]) << choice;
  }
  EXPECT_EQ(collector->usage.new_tokens, 30);
}

TEST_F(Scheduling, EndsByTheListenerOrTheEndOfText) {
  Server server(model_);
  auto collector = std::make_shared<Collector>();
  collector->stop_after = 3;
  server.submit(request(tokens(0, 40), settings_of("no_press", 0), 50), collector);
  collector->wait();
  EXPECT_EQ(collector->tokens[0].size(), 3);
  EXPECT_EQ(collector->ends[0], EndReason::listener);
  // The model's end of text, forced.
  JobRequest it = request(tokens(0, 40), settings_of("no_press", 0), 50);
  it.generate.ignore_eos = false;
  it.generate.logit_bias = {{kEnd, 1000.0f}};
  const auto ended = server.run(it);
  EXPECT_EQ(ended->ends[0], EndReason::end_of_text);
  EXPECT_TRUE(ended->tokens[0].empty());
}

/// As run_protocol() scores it.
TEST_F(Scheduling, ScoresAPromptAsTheProtocolsDo) {
  Server server(model_);
  for (const char* press : {"no_press", "snapkv(window_size=16)", "adakv(snapkv)", "observed_attention"}) {
    RunSettings run;
    run.compression = settings_of(press);
    run.protocol.max_length = 1000;
    const auto expect_like = [&](const JobRequest& it) {
      TokenizedText text{it.tokens, std::vector<std::int32_t>(it.tokens.size(), 1)};
      const RunResult result = run_protocol(model_, {text}, run);
      const auto collector = server.run(it);
      ASSERT_EQ(collector->prompt.size(), it.tokens.size() - 1);
      const std::size_t skipped = collector->prompt.size() - result.nll.size();
      for (std::size_t i = 0; i < result.nll.size(); ++i) {
        EXPECT_NEAR(-collector->prompt[skipped + i].chosen.logprob, result.nll[i], 2e-4) << press << " " << i;
        EXPECT_EQ(collector->prompt[skipped + i].chosen.token, it.tokens[skipped + i + 1]);
      }
    };
    JobRequest it = request(tokens(0, 300), run.compression, 0);
    it.scores_prompt = true;
    it.n_top = 2;
    run.protocol.protocol = Protocol::chunked;
    run.protocol.chunk_size = 50;
    it.boundaries = {50, 100, 150, 200, 250, 300};
    expect_like(it);
    run.protocol.protocol = Protocol::continuation;
    run.protocol.context_tokens = 170;
    it.boundaries = {170};
    it.decode_from = 170;
    expect_like(it);
  }
}

TEST_F(Scheduling, ScoresTheLikeliest) {
  Server server(model_);
  JobRequest it = request(tokens(0, 30), settings_of("no_press", 0), 4);
  it.scores_prompt = it.scores_answer = true;
  it.n_top = 3;
  const auto collector = server.run(it);
  ASSERT_EQ(collector->scored[0].size(), 4);
  for (const ScoredToken& token : collector->scored[0]) {
    ASSERT_EQ(token.top.size(), 3);
    EXPECT_EQ(token.top[0].token, token.chosen.token) << "greedy";
    EXPECT_EQ(token.top[0].logprob, token.chosen.logprob);
    EXPECT_GE(token.top[0].logprob, token.top[1].logprob);
    EXPECT_GE(token.top[1].logprob, token.top[2].logprob);
  }
}

TEST_F(Scheduling, GoesOnFromAContext) {
  Server server(model_);
  const CompressionSettings settings = settings_of("snapkv(window_size=16)");
  JobRequest make = request(tokens(0, 200), settings, 0);
  make.keeps_sequence = true;
  const auto maker = server.run(make);
  ASSERT_TRUE(maker->sequence);
  const auto context = std::make_shared<Context>(Context{"c", std::move(*maker->sequence), std::move(maker->share)});
  Sequence by_hand(model_, settings);
  by_hand.set_compressing(false);
  for (std::size_t at = 0; at < 192; at += 64) by_hand.append(tokens(at, 64));
  by_hand.set_compressing(true);
  by_hand.append(tokens(192, 8));
  EXPECT_EQ(context->sequence.cache_tokens(), 100);
  by_hand.begin_decoding();
  by_hand.append(tokens(300, 30));
  const Ids expected = generate(by_hand, {.max_new_tokens = 9, .ignore_eos = true}).ids;
  for (int i = 0; i < 2; ++i) {
    JobRequest ask = request(tokens(300, 30), settings, 9);
    ask.boundaries.clear();
    ask.context = context;
    const auto collector = server.run(ask);
    EXPECT_EQ(collector->tokens[0], expected);
    EXPECT_EQ(collector->usage.prompt_tokens, 230);
    EXPECT_EQ(collector->usage.reused_tokens, 200);
  }
  EXPECT_EQ(context->sequence.n_tokens(), 200);
}

TEST_F(Scheduling, TellsWhatIsHeld) {
  Server server(model_);
  JobRequest it = request(tokens(0, 100), settings_of("streaming_llm"), 1);
  it.reports_held = true;
  const auto collector = server.run(it);
  ASSERT_EQ(collector->held.size(), 100);
  EXPECT_NEAR(collector->held.front(), 1, 1e-6) << "a sink";
  EXPECT_EQ(collector->held[20], 0);
  EXPECT_NEAR(collector->held.back(), 1, 1e-6);
  double sum = 0;
  for (const float share : collector->held) sum += share;
  EXPECT_NEAR(sum, 50, 1e-3);
}

TEST_F(Scheduling, WhatIsTooLargeIsRefusedWithTheNumbers) {
  Server server(model_, {.chunk = 64}, kFixed + (std::size_t{2} << 20));
  auto collector = std::make_shared<Collector>();
  try {
    server.submit(request(tokens(0, 1500), settings_of("no_press", 0), 1000000), collector);
    FAIL();
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status, 413);
    EXPECT_NE(std::string(error.what()).find("2.0 MiB"), std::string::npos) << error.what();
  }
  EXPECT_EQ(server.run(request(tokens(0, 100), settings_of("no_press", 0), 4))->tokens[0].size(), 4);
}

/// A fixed budget with compressions along the prompt lets a prompt pass that would not fit whole.
TEST_F(Scheduling, AFixedBudgetReadsPromptsThatWouldNotFit) {
  const CacheNeed need(Sequence(model_, settings_of("no_press", 0)));
  Server server(model_, {.chunk = 64}, kFixed + need.bytes(500, 64));
  auto collector = std::make_shared<Collector>();
  EXPECT_THROW(server.submit(request(tokens(0, 1500), settings_of("no_press", 0), 4), collector), ApiError);
  CompressionSettings settings = settings_of("knorm");
  settings.budget = Budget::of_tokens(128);
  JobRequest it = request(tokens(0, 1500), settings, 4);
  it.boundaries.clear();
  for (std::int64_t at = 100; at <= 1500; at += 100) it.boundaries.push_back(at);
  const auto ended = server.run(it);
  EXPECT_EQ(ended->tokens[0].size(), 4);
  EXPECT_LE(ended->usage.peak_bytes, need.bytes(500, 64));
}

TEST_F(Scheduling, MemoryIsNeverMoreThanTheBudget) {
  const CacheNeed need(Sequence(model_, settings_of("no_press", 0)));
  const std::size_t limit = kFixed + need.bytes(700, 64);
  Server server(model_, {.chunk = 64, .max_sequences = 16, .queue = 100}, limit);
  std::vector<std::shared_ptr<Collector>> collectors;
  std::atomic<bool> done{false};
  std::size_t most = 0;
  std::thread watcher([&] {
    while (!done) {
      most = std::max(most, server.budget.taken() + kFixed);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  for (std::size_t i = 0; i < 20; ++i) {
    collectors.push_back(std::make_shared<Collector>());
    server.submit(
        request(tokens(i * 50, 100 + i * 20), settings_of(i % 2 == 0 ? "snapkv(window_size=16)" : "no_press"), 30),
        collectors.back());
  }
  for (const auto& it : collectors) {
    it->wait();
    EXPECT_EQ(it->tokens[0].size(), 30);
  }
  done = true;
  watcher.join();
  EXPECT_LE(most, limit);
  server.wait_until_idle();
  EXPECT_EQ(server.budget.taken(), server.snapshots.counts().bytes);
}

TEST_F(Scheduling, TheBoundOfACacheHolds) {
  for (const char* press : {"no_press", "knorm", "snapkv(window_size=16)", "adakv(snapkv)", "expected_attention",
                            "observed_attention", "kvzip", "pyramidkv", "dms(knorm, threshold=-10)"}) {
    for (const CacheFormat& format : {CacheFormat(DType::f32), CacheFormat(DType::bf16), CacheFormat(DType::f32, 8, 32),
                                      CacheFormat(DType::bf16, 4, 32)}) {
      CompressionSettings settings = settings_of(press);
      settings.cache_format = format;
      const CacheNeed need((Sequence(model_, settings)));
      PrefillPlan plan;
      plan.n_tokens = 400;
      plan.boundaries = {150, 400};
      plan.chunk = 64;
      Sequence sequence(model_, settings);
      for (const auto& [end, compresses] :
           {std::pair{64, false}, {128, false}, {150, true}, {214, false}, {278, false}, {342, false}, {400, true}}) {
        sequence.set_compressing(compresses);
        const auto at = static_cast<std::size_t>(sequence.n_tokens());
        sequence.append(tokens(at, static_cast<std::size_t>(end) - at));
      }
      EXPECT_LE(sequence.peak_bytes(), need.bytes(need.most_in_prefill(plan), 64) + need.pass_bytes(plan))
          << press << " " << to_string(format);
      EXPECT_LE(sequence.cache_bytes(), need.bytes(need.most_after_prefill(plan), 64))
          << press << " " << to_string(format);
      sequence.begin_decoding();
      for (std::size_t i = 0; i < 50; ++i) sequence.append(tokens(400 + i, 1));
      EXPECT_LE(sequence.cache_bytes(), need.bytes(need.most_after_prefill(plan) + 50, 1))
          << press << " " << to_string(format);
    }
  }
}

TEST_F(Scheduling, MoreThanTheQueueIsRefused) {
  Server server(model_, {.chunk = 16, .max_sequences = 1, .queue = 2});
  std::vector<std::shared_ptr<Collector>> collectors;
  int refused = 0;
  for (int i = 0; i < 12; ++i) {
    collectors.push_back(std::make_shared<Collector>());
    try {
      server.submit(request(tokens(0, 600), settings_of("no_press", 0), 40), collectors.back());
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status, 429);
      EXPECT_GE(error.retry_after, 1);
      collectors.pop_back();
      ++refused;
    }
  }
  EXPECT_GE(refused, 8);
  for (const auto& it : collectors) it->wait();
}

TEST_F(Scheduling, CancelledJobsGiveBackWhatTheyHold) {
  Server server(model_, {.chunk = 64, .max_sequences = 2}, kLimit, false);
  std::vector<std::shared_ptr<Job>> jobs;
  std::vector<std::shared_ptr<Collector>> collectors;
  for (int i = 0; i < 4; ++i) {
    collectors.push_back(std::make_shared<Collector>());
    jobs.push_back(server.submit(request(tokens(0, 100), settings_of("no_press", 0), 100000), collectors.back()));
  }
  collectors[0]->wait_for_tokens(3);
  for (const auto& it : jobs) it->cancel();
  server.wait_until_idle();
  EXPECT_EQ(server.budget.taken(), 0);
  EXPECT_EQ(server.scheduler.counts().jobs_cancelled, 4);
  EXPECT_EQ(server.run(request(tokens(0, 100), settings_of("no_press", 0), 3))->tokens[0].size(), 3);
}

/// While a long prompt is read, a text that is being generated gets a token for each of its chunks.
TEST_F(Scheduling, ALongPromptDoesNotHoldUpOthers) {
  Server server(model_, {.chunk = 32});
  auto writer = std::make_shared<Collector>();
  const auto job = server.submit(request(tokens(0, 20), settings_of("no_press", 0), 100000), writer);
  writer->wait_for_tokens(2);
  const std::size_t before = writer->times.size();
  const auto reader = server.run(request(tokens(0, 1600), settings_of("no_press", 0), 1));
  const std::size_t during = writer->times.size() - before;
  job->cancel();
  EXPECT_GE(during, 1600 / 32 - 2);
  EXPECT_EQ(reader->tokens[0].size(), 1);
}

TEST_F(Scheduling, AShortPromptOvertakesALongOne) {
  Server server(model_, {.chunk = 16});
  auto slow = std::make_shared<Collector>();
  server.submit(request(tokens(0, 1600), settings_of("no_press", 0), 1), slow);
  const auto quick = server.run(request(tokens(0, 20), settings_of("no_press", 0), 1));
  EXPECT_FALSE(slow->is_done());
  slow->wait();
}

TEST_F(Scheduling, EndsInOrder) {
  Server server(model_);
  auto running = std::make_shared<Collector>();
  server.submit(request(tokens(0, 100), settings_of("no_press", 0), 10), running);
  EXPECT_TRUE(server.scheduler.drain(60));
  EXPECT_EQ(running->tokens[0].size(), 10);
  auto late = std::make_shared<Collector>();
  EXPECT_THROW(server.submit(request(tokens(0, 100), settings_of("no_press", 0), 10), late), ApiError);
}

TEST_F(Scheduling, StoppingEndsWhatRuns) {
  Server server(model_);
  auto running = std::make_shared<Collector>();
  server.submit(request(tokens(0, 100), settings_of("no_press", 0), 100000), running);
  running->wait_for_tokens(1);
  EXPECT_FALSE(server.scheduler.drain(0.05));
  server.scheduler.stop();
  EXPECT_THROW(running->wait(), ApiError);
  EXPECT_EQ(server.budget.taken(), server.snapshots.counts().bytes);
}

}  // namespace
}  // namespace kvpress::serve
