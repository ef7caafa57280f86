// The answer to a request, as it grows: tokens of the scheduler's thread become pieces of text for the thread that
// talks to the client.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/utf8_stream.h"
#include "kvpress/tokenizer/tokenizer.h"
#include "serve/job.h"

namespace kvpress::serve {

/// Text up to the first of some strings. What may be the beginning of one is held back.
class StopStrings {
 public:
  explicit StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {}
  /// The text that is safe to show after this piece. Once a stop string has come, it and what follows is dropped.
  std::string take(std::string_view piece);
  bool stopped() const { return stopped_; }
  /// What was held back, at the end of the text.
  std::string finish();

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

/// Some of a choice's answer.
struct Piece {
  int choice = 0;  ///< of all choices of the request: prompt * n + choice of the prompt
  std::string text;
  std::vector<ScoredToken> tokens;  ///< of the text, if they are scored
  std::string finish_reason;        ///< "stop" or "length" with the last piece
  double cache_tokens = 0;          ///< of this choice, at this place
  std::size_t cache_bytes = 0;
};

/// Thread-safe. Pieces of all choices, in the order in which they come.
class Answer {
 public:
  explicit Answer(int n_jobs) : n_open_(n_jobs) {}

  enum class Next : std::uint8_t { piece, nothing_yet, end };
  /// Waits for the next piece, at most so long. Rethrows the error of a job.
  Next next(Piece& piece, std::chrono::milliseconds wait);

  /// After the end: of all jobs together; times are of the slowest.
  const JobUsage& usage() const { return usage_; }
  /// Of the prompts' tokens, if they were scored; by job.
  const std::vector<ScoredToken>& scored_prompt(int job) const {
    return scored_prompts_.at(static_cast<std::size_t>(job));
  }

  /// What the cache held after the prompt, if it was asked for: of the first job.
  const std::vector<float>& held() const { return held_; }

  void push(Piece piece);
  void set_held(std::vector<float> shares);
  void add_scored(int job, std::vector<ScoredToken> tokens);
  void end_job(const JobUsage& usage);
  void fail(std::exception_ptr error);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> pieces_;
  std::vector<std::vector<ScoredToken>> scored_prompts_;
  std::vector<float> held_;
  std::exception_ptr error_;
  int n_open_;
  JobUsage usage_;
};

/// How the tokens of a request become text.
struct TextSettings {
  std::vector<std::string> stops;
  bool follows_text = true;  ///< the answer goes on with the prompt's text: a space before its first word stays
};

/// The listener of one prompt's job.
class AnswerWriter : public JobListener {
 public:
  /// The tokenizer must outlive it.
  AnswerWriter(const Tokenizer& tokenizer, std::shared_ptr<Answer> answer, int job, int n_choices,
               const TextSettings& settings);

  void on_prompt_scored(std::vector<ScoredToken> tokens) override { answer_->add_scored(job_, std::move(tokens)); }
  void on_held(std::vector<float> shares) override {
    if (job_ == 0) answer_->set_held(std::move(shares));
  }
  bool on_token(int choice, const GeneratedToken& token) override;
  void on_end(int choice, EndReason reason) override;
  void on_done(const JobUsage& usage) override { answer_->end_job(usage); }
  void on_error(std::exception_ptr error) override { answer_->fail(std::move(error)); }

 private:
  struct Text {
    Utf8Stream characters;
    StopStrings stops;
    std::vector<ScoredToken> tokens;  // that no piece has taken yet
    double cache_tokens = 0;
    std::size_t cache_bytes = 0;
    bool begun = false;
  };
  Piece piece_of(int choice, std::string text);

  const Tokenizer& tokenizer_;
  std::shared_ptr<Answer> answer_;
  int job_;
  bool follows_text_;
  std::vector<Text> texts_;
};

}  // namespace kvpress::serve
