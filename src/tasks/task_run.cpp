#include "tasks/task_run.h"

#include <algorithm>
#include <map>
#include <utility>

#include "eval/evicted.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/timer.h"
#include "kvpress/engine/questions.h"
#include "kvpress/engine/sequence.h"
#include "kvpress/model/not_finite.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

class Answerer {
 public:
  Answerer(const Model& model, const Tokenizer& tokenizer, const TaskSettings& settings)
      : model_(model), tokenizer_(tokenizer), settings_(settings) {}

  bool shares_contexts() const { return settings_.compression.plan().decoding == nullptr; }

  /// Samples `which`, which have the same context.
  void answer(const std::vector<TaskSample>& samples, const std::vector<std::size_t>& which, TaskRun& run,
              const std::function<void()>& on_answer) {
    try {
      answer_group(samples, which, run, on_answer);
    } catch (const NotFinite& error) {
      const std::int32_t id = error.token();
      throw error.in(fmt::format("question {}", which.front()), tokenizer_.decode({&id, 1}, false));
    }
  }

 private:
  void answer_group(const std::vector<TaskSample>& samples, const std::vector<std::size_t>& which, TaskRun& run,
                    const std::function<void()>& on_answer) {
    Sequence sequence(model_, settings_.compression);
    sequence.append(tokenize_sample(tokenizer_, samples[which.front()], settings_).context);
    const SequenceTimes context = sequence.times();
    run.prefill_sec += context.prefill;
    run.compress_sec += context.compress;

    const Timer answering;
    if (shares_contexts()) sequence.begin_decoding();
    Questions questions(sequence, which.size() == 1);  // of one question nothing need be taken back
    TaskAnswer answer{{}, sequence.n_tokens(), sequence.cache_tokens(), sequence.cache_bytes(), sequence.held()};
    warn_if_nothing_is_quantized(sequence);
    for (const std::size_t i : which) {
      check_interrupt();
      answer.text = ask(questions, samples[i]);
      run.answers[i] = answer;
      if (on_answer) on_answer();
    }
    const double compressing = sequence.times().compress - context.compress;
    run.compress_sec += compressing;
    run.answer_sec += answering.seconds() - compressing;
  }

  /// The question, and the most likely tokens after it.
  std::string ask(Questions& questions, const TaskSample& sample) const {
    Generated generated = questions.ask(tokenize_sample(tokenizer_, sample, settings_).question,
                                        {.max_new_tokens = sample.max_new_tokens, .eos_may_come_first = false});
    if (generated.end) generated.ids.push_back(*generated.end);  // decoded where it is no special token
    std::string storage;                                         // an answer may end inside a character
    return std::string(to_valid_utf8(tokenizer_.decode(generated.ids), storage));
  }

  const Model& model_;
  const Tokenizer& tokenizer_;
  const TaskSettings& settings_;
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

double TaskRun::evicted_share() const { return evicted_share_of(answers); }

TaskTokens tokenize_sample(const Tokenizer& tokenizer, const TaskSample& sample, const TaskSettings& settings) {
  const std::string& question = sample.question;
  TaskTokens tokens;
  tokens.context =
      tokenizer.encode(settings.chat.begin(sample.context) + (settings.query_aware ? question : std::string()));
  tokens.question =
      tokenizer.encode((settings.query_aware ? std::string() : question) + settings.chat.after + sample.answer_prefix);
  const auto most = static_cast<std::size_t>(settings.max_context_length);
  if (most > 0 && tokens.context.size() > most) tokens.context.resize(most);
  if (tokens.context.empty()) fail_usage("task {}: a context is empty; there is nothing to compress", sample.task);
  if (tokens.question.empty()) fail_usage("task {}: a question is empty", sample.task);
  return tokens;
}

TaskRun answer_samples(const Model& model, const Tokenizer& tokenizer, const std::vector<TaskSample>& samples,
                       const TaskSettings& settings, const std::function<void()>& on_answer) {
  Answerer answerer(model, tokenizer, settings);
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
