// The service: what the server answers to each call, without HTTP's connections.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kvpress/model/model.h"
#include "kvpress/tokenizer/chat_template.h"
#include "kvpress/tokenizer/tokenizer.h"
#include "serve/answer.h"
#include "serve/api_error.h"
#include "serve/cache_request.h"
#include "serve/context_folder.h"
#include "serve/contexts.h"
#include "serve/memory_budget.h"
#include "serve/metrics.h"
#include "serve/prompts.h"
#include "serve/requests.h"
#include "serve/responses.h"
#include "serve/scheduler.h"
#include "serve/snapshots.h"

namespace kvpress::serve {

/// What a client is told of an exception.
ApiError api_error_of(const std::exception_ptr& thrown);

struct Call {
  std::string method;
  std::string path;
  std::string body;
  /// Whether the client is gone: its work is then cancelled. May be empty.
  std::function<bool()> is_gone = {};
};

/// Events that follow each other until the end. Destroying it cancels what is not done.
class Events {
 public:
  virtual ~Events() = default;
  /// Waits for the next a moment. `text` is empty if there was none. False at the end.
  virtual bool next(std::string& text) = 0;
};

struct Reply {
  int status = 200;
  std::string type = "application/json";
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::unique_ptr<Events> events = nullptr;  ///< instead of a body: text/event-stream
  bool gone = false;                         ///< nobody is there to be answered
};

struct ServiceSettings {
  std::string model_id;  ///< the name of the model for clients
  CacheDefaults cache;
  std::int64_t max_tokens = 512;  ///< of a chat that does not say how many
};

/// Thread-safe.
class Service {
 public:
  /// All that is passed must outlive the service. `snapshots` may be null, and so may `folder`: contexts then live in
  /// memory alone. Else those of the folder are read.
  Service(const Tokenizer& tokenizer, const ChatTemplate& chat, MemoryBudget& budget, Snapshots* snapshots,
          Scheduler& scheduler, const ServiceSettings& settings, const ContextFolder* folder = nullptr);

  /// Errors become replies.
  Reply handle(const Call& call);
  static Reply error_reply(const ApiError& error);

 private:
  struct Work;
  class Stream;

  Reply dispatch(const Call& call);
  Reply complete(const Call& call);
  Reply chat(const Call& call);
  Reply answer(const Call& call, std::unique_ptr<Work> work);
  Reply make_context(const Call& call);
  Reply context_call(const Call& call);
  Reply models() const;
  Reply health() const;
  Reply tokenize(const Call& call) const;
  Reply detokenize(const Call& call) const;
  Reply tokenizer_info() const;
  std::string metrics_text() const;

  void check_model(const std::string& name) const;
  /// A job for each prompt.
  void add_job(Work& work, const GenerationRequest& request, const CacheRequest& cache, const Prompt& prompt,
               std::shared_ptr<const Context> context, bool scores_prompt);
  GenerateSettings settings_of(const GenerationRequest& request, std::int64_t max_tokens) const;
  void check_positions(const CompressionSettings& settings, std::int64_t n_prompt, std::int64_t n_more) const;
  std::shared_ptr<const Context> context_of(const CacheRequest& cache) const;
  Prompt text_prompt(const TextOrTokens& prompt, bool after_context) const;
  Prompt rendered(const std::vector<ChatMessage>& messages, const ChatRendering& how) const;
  void remove_context(Prompt& prompt, const Context& context) const;
  Json context_object(const Context& context) const;

  const Tokenizer& tokenizer_;
  const ChatTemplate& chat_;
  MemoryBudget& budget_;
  Snapshots* const snapshots_;
  Scheduler& scheduler_;
  const ServiceSettings settings_;
  const ModelConfig& config_;
  PressBook presses_;
  const ContextFolder* const folder_;
  Contexts contexts_;
  CallCounts calls_;
};

}  // namespace kvpress::serve
