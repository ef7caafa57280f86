// A job of the scheduler: a prompt, the settings of its cache and of the texts that continue it, and who listens.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/engine/compression_settings.h"
#include "kvpress/engine/generate.h"
#include "kvpress/engine/sequence.h"
#include "kvpress/tokenizer/chat_template.h"
#include "serve/logprobs.h"
#include "serve/memory_budget.h"

namespace kvpress::serve {

/// A text that was read and compressed, for requests to go on from. Not changed once it is made.
struct Context {
  std::string id;
  Sequence sequence;
  MemoryBudget::Share share;
  std::vector<ChatMessage> messages = {};  ///< that it was made of; none: of a text
  std::int64_t created = 0;                ///< seconds since 1970
};

struct JobRequest {
  std::vector<std::int32_t> tokens;  ///< the prompt; without those of the context
  /// After so many tokens of the prompt the press compresses; ascending, at most tokens.size().
  std::vector<std::int64_t> boundaries;
  std::shared_ptr<const Context> context;  ///< to go on from; its sequence is copied. Null: none
  CompressionSettings compression;         ///< without a context
  std::string settings_key;                ///< requests with equal keys have equal `compression`
  /// From this token of the prompt on the sequence decodes: nothing is compressed but by a press for decoding. By
  /// default from its end; a context decodes from the first on.
  std::optional<std::int64_t> decode_from;
  bool scores_prompt = false;   ///< the listener gets the log-probabilities of the prompt's tokens
  bool scores_answer = false;   ///< and those of generated tokens
  int n_top = 0;                ///< with so many of the likeliest tokens at each place
  GenerateSettings generate;    ///< max_new_tokens may be 0
  int n_choices = 1;            ///< texts that continue the prompt, the seeds of which count up
  bool uses_snapshots = true;   ///< may begin from one, and leaves some
  bool reports_held = false;    ///< the listener is told what the cache holds after the prefill
  bool keeps_sequence = false;  ///< the listener gets the sequence after the prefill; nothing is generated
};

struct GeneratedToken {
  std::int32_t id = 0;
  ScoredToken scored;  ///< if JobRequest::scores_answer
  double cache_tokens = 0;
  std::size_t cache_bytes = 0;
};

enum class EndReason : std::uint8_t {
  end_of_text,  ///< the model ended it
  length,       ///< max_new_tokens
  listener      ///< on_token() returned false
};

struct JobUsage {
  std::int64_t prompt_tokens = 0;  ///< with those of a context
  std::int64_t reused_tokens = 0;  ///< of them, from a snapshot or a context
  std::int64_t new_tokens = 0;     ///< of all choices
  double cache_tokens = 0;         ///< of the first choice at its end, mean over layers and KV heads
  std::size_t cache_bytes = 0;     ///< of all choices at their ends
  std::size_t peak_bytes = 0;      ///< the most that the prefill held
  double wait_sec = 0, prefill_sec = 0, compress_sec = 0, decode_sec = 0;
};

/// Called on the scheduler's thread: quickly, and without exceptions.
class JobListener {
 public:
  virtual ~JobListener() = default;
  /// Log-probabilities of the prompt's tokens, in order, some at a time: from its second on, or from the first after a
  /// context.
  virtual void on_prompt_scored(std::vector<ScoredToken> /*tokens*/) {}
  /// The share of the layers' KV heads that hold each token of the text after the prefill.
  virtual void on_held(std::vector<float> /*shares*/) {}
  /// A new token. False ends that choice.
  virtual bool on_token(int /*choice*/, const GeneratedToken& /*token*/) { return true; }
  virtual void on_end(int /*choice*/, EndReason /*reason*/) {}
  /// The sequence of a job that keeps it, with its part of the budget.
  virtual void on_sequence(Sequence /*sequence*/, MemoryBudget::Share /*share*/) {}
  /// The last call: one of these, or none for a job that was cancelled.
  virtual void on_done(const JobUsage& /*usage*/) {}
  virtual void on_error(std::exception_ptr /*error*/) {}
};

/// A job that was handed to the scheduler.
class Job {
 public:
  Job(JobRequest request_, std::shared_ptr<JobListener> listener_)
      : request(std::move(request_)), listener(std::move(listener_)) {}
  /// It ends before its next pass, and its memory is given back. From any thread.
  void cancel() { cancelled_ = true; }
  bool is_cancelled() const { return cancelled_; }

  const JobRequest request;
  const std::shared_ptr<JobListener> listener;

 private:
  std::atomic<bool> cancelled_{false};
};

}  // namespace kvpress::serve
