// An answer in the making, and its stream. Parts of the service.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serve/service.h"

namespace kvpress::serve {

/// The jobs of a request. Destroying it cancels those that are not done.
struct Service::Work {
  AnswerHead head;
  std::shared_ptr<Answer> answer;
  std::vector<std::shared_ptr<Job>> jobs;
  std::vector<Prompt> prompts;  // one a job
  int n = 1;                    // choices of each prompt
  bool echo = false;
  bool scores = false;
  bool stream = false;
  bool stream_usage = false;
  bool held = false;

  Work() = default;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  ~Work() {
    for (const auto& job : jobs) job->cancel();
  }

  int n_choices() const { return n * static_cast<int>(prompts.size()); }
  /// The prompt's tokens with their log-probabilities; the first has none, unless a context comes before it.
  std::vector<ScoredToken> scored_prompt(int job) const;
  /// What the cache held after the first prompt; null if it was not asked for.
  Json held_tokens(const Tokenizer& tokenizer) const;
  bool first_is_unknown(int job) const { return jobs[static_cast<std::size_t>(job)]->request.context == nullptr; }
};

class Service::Stream : public Events {
 public:
  Stream(const Tokenizer& tokenizer, std::unique_ptr<Work> work);
  bool next(std::string& text) override;

 private:
  /// What comes before the first piece of a choice: a chat's role, or the prompt.
  std::string beginning(int choice);
  std::string chunk_of(const Piece& piece);

  const Tokenizer& tokenizer_;
  std::unique_ptr<Work> work_;
  std::vector<bool> begun_;           // by choice
  std::vector<std::size_t> offsets_;  // bytes of text so far, by choice
  bool told_held_ = false;
  bool ended_ = false;
};

}  // namespace kvpress::serve
