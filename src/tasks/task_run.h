// Answers questions with a compressed cache, as kvpress's evaluation does: prefills and compresses the context, then
// reads the question and decodes the answer greedily.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kvpress/engine/compression_settings.h"
#include "kvpress/engine/sequence.h"
#include "kvpress/model/model.h"
#include "kvpress/tokenizer/chat_format.h"
#include "kvpress/tokenizer/tokenizer.h"
#include "tasks/task.h"

namespace kvpress {

struct TaskSettings {
  ChatFormat chat;
  CompressionSettings compression;
  std::int64_t max_context_length = 0;  ///< tokens; longer contexts are cut at the end, as in kvpress; 0: no limit
  bool query_aware = false;             ///< the question is part of the context that the press sees
};

struct TaskAnswer {
  std::string text;
  std::int64_t context_tokens = 0;
  double cache_tokens = 0;  ///< mean over layers and KV heads, after the context was compressed
  std::size_t cache_bytes = 0;
  Sequence::Held held = {};  ///< after the context was compressed
};

/// Times are totals over the run, in seconds.
struct TaskRun {
  std::vector<TaskAnswer> answers;  ///< one per sample
  double prefill_sec = 0;
  double compress_sec = 0;
  double answer_sec = 0;
  double mean_cache_tokens() const;
  double mean_cache_bytes() const;
  /// The share of the contexts' keys and values that was really evicted.
  double evicted_share() const;
};

/// The tokens of a sample: the context with the beginning of the chat, and all that follows it.
struct TaskTokens {
  std::vector<std::int32_t> context, question;
};
/// Throws UsageError if the context is empty.
TaskTokens tokenize_sample(const Tokenizer& tokenizer, const TaskSample& sample, const TaskSettings& settings);

/// Answers all samples. Samples with the same context share its prefill and compression; the tokens of question and
/// answer are removed before the next sample. With a press that compresses during decode, each sample has its own
/// prefill. As in kvpress's pipeline, the first token never ends an answer. Calls `on_answer` after each answer.
TaskRun answer_samples(const Model& model, const Tokenizer& tokenizer, const std::vector<TaskSample>& samples,
                       const TaskSettings& settings, const std::function<void()>& on_answer = {});

}  // namespace kvpress
