#include "kvpress/eval/task_run.h"

#include <algorithm>
#include <map>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/timer.h"
#include "kvpress/ops/cross_entropy.h"
#include "kvpress/press/compressor.h"
#include "kvpress/tokenizer/unicode.h"

namespace kvpress {
namespace {

using Ids = std::span<const std::int32_t>;

/// How many entries each head holds, to go back to.
std::vector<std::int64_t> sizes_of(const KVCache& cache) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t l = 0; l < cache.shape().n_layers; ++l) {
    for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) sizes.push_back(cache.head(l, h).size());
  }
  return sizes;
}

void restore(KVCache& cache, const std::vector<std::int64_t>& sizes) {
  std::size_t i = 0;
  for (std::int64_t l = 0; l < cache.shape().n_layers; ++l) {
    for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) cache.truncate(l, h, sizes[i++]);
  }
}

class Answerer {
 public:
  Answerer(const Model& model, const Tokenizer& tokenizer, const NamedPress& press, const TaskSettings& settings)
      : model_(model),
        tokenizer_(tokenizer),
        settings_(settings),
        plan_(press.plan(settings.target_size && settings.compression_interval == 0 ? Budget{0.0, settings.target_size}
                                                                                    : settings.budget,
                         settings.compression_interval, settings.target_size)),
        hidden_(static_cast<std::size_t>(model.config().hidden_size)),
        logits_(static_cast<std::size_t>(model.config().vocab_size)) {}

  bool shares_contexts() const { return plan_.decoding == nullptr; }

  /// Samples `which`, which have the same context.
  void answer(const std::vector<TaskSample>& samples, const std::vector<std::size_t>& which, TaskRun& run,
              const std::function<void()>& on_answer) {
    const Timer prefill;
    Compressor compressor(plan_, settings_.seed);
    KVCache cache = compressor.make_cache(model_, settings_.cache_format, settings_.positions == Positions::cache);
    const auto n_context = forward_context(samples[which.front()], compressor, cache);
    run.prefill_sec += prefill.seconds() - compressor.seconds();
    run.compress_sec += compressor.seconds();

    const double before_answers = compressor.seconds();
    const Timer answering;
    const std::vector<std::int64_t> sizes = sizes_of(cache);
    TaskAnswer answer{{}, n_context, cache.mean_tokens(), cache.allocated_bytes()};
    for (const std::size_t i : which) {
      check_interrupt();
      if (i != which.front()) restore(cache, sizes);
      const std::vector<std::int32_t> question = tokenize_sample(tokenizer_, samples[i], settings_).question;
      if (shares_contexts()) {
        std::int64_t at = n_context;
        const auto forward = [&](Ids ids) {
          model_.forward({ids, at, cache, nullptr, row()});
          at += static_cast<std::int64_t>(ids.size());
        };
        forward(question);
        answer.text = write(samples[i].max_new_tokens, forward);
      } else {
        // The question is seen by the press, but is no token that was decoded: the interval counts the answer's.
        compressor.set_active(false);
        compressor.forward(model_, question, cache, row());
        compressor.begin_decoding();
        answer.text = write(samples[i].max_new_tokens, [&](Ids ids) { compressor.forward(model_, ids, cache, row()); });
      }
      run.answers[i] = answer;
      if (on_answer) on_answer();
    }
    const double compressing = compressor.seconds() - before_answers;
    run.compress_sec += compressing;
    run.answer_sec += answering.seconds() - compressing;
  }

 private:
  std::int64_t forward_context(const TaskSample& sample, Compressor& compressor, KVCache& cache) {
    const std::vector<std::int32_t> context = tokenize_sample(tokenizer_, sample, settings_).context;
    compressor.forward(model_, context, cache, row());
    return static_cast<std::int64_t>(context.size());
  }
  Matrix<float> row() { return {hidden_.data(), 1, model_.config().hidden_size}; }

  /// The likeliest tokens after what was last run.
  std::string write(std::int64_t max_new_tokens, const std::function<void(Ids)>& forward) {
    const auto& ends = model_.config().eos_ids;
    std::vector<std::int32_t> ids;
    while (true) {
      model_.logits(row(), {logits_.data(), 1, model_.config().vocab_size});
      const auto token = static_cast<std::int32_t>(argmax(logits_.data(), model_.config().vocab_size));
      ids.push_back(token);
      if (static_cast<std::int64_t>(ids.size()) >= max_new_tokens) break;
      if (ids.size() > 1 && std::find(ends.begin(), ends.end(), token) != ends.end()) break;
      forward(Ids(&token, 1));
    }
    std::string storage;  // an answer may end inside a character
    return std::string(to_valid_utf8(tokenizer_.decode(ids), storage));
  }

  const Model& model_;
  const Tokenizer& tokenizer_;
  const TaskSettings& settings_;
  CompressionPlan plan_;
  AlignedVector<float> hidden_;
  AlignedVector<float> logits_;
};

}  // namespace

double TaskRun::mean_cache_tokens() const {
  double sum = 0;
  for (const TaskAnswer& it : answers) sum += it.cache_tokens;
  return sum / static_cast<double>(answers.size());
}

double TaskRun::mean_cache_bytes() const {
  double sum = 0;
  for (const TaskAnswer& it : answers) sum += static_cast<double>(it.cache_bytes);
  return sum / static_cast<double>(answers.size());
}

TaskTokens tokenize_sample(const Tokenizer& tokenizer, const TaskSample& sample, const TaskSettings& settings) {
  const std::string& question = sample.question;
  TaskTokens tokens;
  tokens.context =
      tokenizer.encode(settings.chat.before + sample.context + (settings.query_aware ? question : std::string()));
  tokens.question =
      tokenizer.encode((settings.query_aware ? std::string() : question) + settings.chat.after + sample.answer_prefix);
  const auto most = static_cast<std::size_t>(settings.max_context_length);
  if (most > 0 && tokens.context.size() > most) tokens.context.resize(most);
  if (tokens.context.empty()) fail_usage("task {}: a context is empty; there is nothing to compress", sample.task);
  if (tokens.question.empty()) fail_usage("task {}: a question is empty", sample.task);
  return tokens;
}

TaskRun answer_samples(const Model& model, const Tokenizer& tokenizer, const std::vector<TaskSample>& samples,
                       const NamedPress& press, const TaskSettings& settings, const std::function<void()>& on_answer) {
  Answerer answerer(model, tokenizer, press, settings);
  std::vector<std::vector<std::size_t>> groups;
  std::map<std::string_view, std::size_t> group_of;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    // With the question in it, a context is no other sample's.
    const bool alone = settings.query_aware || !answerer.shares_contexts();
    const auto [it, is_new] = group_of.try_emplace(samples[i].context, groups.size());
    if (alone || is_new) {
      it->second = groups.size();
      groups.emplace_back();
    }
    groups[it->second].push_back(i);
  }
  TaskRun run;
  run.answers.resize(samples.size());
  for (const auto& group : groups) answerer.answer(samples, group, run, on_answer);
  return run;
}

}  // namespace kvpress
