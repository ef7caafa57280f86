// Answers over a compressed cache, as kvpress's evaluation asks for them: the context is prefilled and compressed, then
// the question is read and the answer written over what is left, greedily.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kvpress/engine/compression_settings.h"
#include "kvpress/model/model.h"
#include "kvpress/tokenizer/chat_format.h"
#include "kvpress/tokenizer/tokenizer.h"
#include "tasks/task.h"

namespace kvpress {

struct TaskSettings {
  ChatFormat chat;
  CompressionSettings compression;
  std::int64_t max_context_length = 0;  ///< longer contexts lose their ends, as in kvpress; 0: none does
  bool query_aware = false;             ///< the question is part of the context, and so of what the press sees
};

struct TaskAnswer {
  std::string text;
  std::int64_t context_tokens = 0;
  double cache_tokens = 0;  ///< mean over layers and KV heads, after the context was compressed
  std::size_t cache_bytes = 0;
};

/// Times are of the whole run.
struct TaskRun {
  std::vector<TaskAnswer> answers;  ///< of the samples, in their order
  double prefill_sec = 0;
  double compress_sec = 0;
  double answer_sec = 0;
  double mean_cache_tokens() const;
  double mean_cache_bytes() const;
};

/// A sample as the model reads it: the context with the beginning of the chat, and what follows on it.
struct TaskTokens {
  std::vector<std::int32_t> context, question;
};
/// Throws UsageError when there is no context.
TaskTokens tokenize_sample(const Tokenizer& tokenizer, const TaskSample& sample, const TaskSettings& settings);

/// Samples with the same context share its prefill and its compression: what a question and its answer added to the
/// cache is taken away before the next. Under a press that compresses while decoding each stands alone. The answers are
/// those of kvpress's pipeline: like there, a first token never ends an answer. `on_answer` is called after each.
TaskRun answer_samples(const Model& model, const Tokenizer& tokenizer, const std::vector<TaskSample>& samples,
                       const TaskSettings& settings, const std::function<void()>& on_answer = {});

}  // namespace kvpress
