#include "serve/service_work.h"

#include <chrono>
#include <utility>

namespace kvpress::serve {
namespace {

constexpr std::chrono::milliseconds kWait{100};

}  // namespace

std::vector<ScoredToken> Service::Work::scored_prompt(int job) const {
  std::vector<ScoredToken> scored;
  if (first_is_unknown(job)) scored.push_back({{prompts[static_cast<std::size_t>(job)].tokens.front(), 0}, {}});
  const auto& rest = answer->scored_prompt(job);
  scored.insert(scored.end(), rest.begin(), rest.end());
  return scored;
}

Json Service::Work::held_tokens(const Tokenizer& tokenizer) const {
  if (!held) return nullptr;
  const JobRequest& request = jobs.front()->request;
  std::vector<std::int32_t> tokens;
  if (request.context) {
    const auto before = request.context->sequence.tokens();
    tokens.assign(before.begin(), before.end());
  }
  tokens.insert(tokens.end(), request.tokens.begin(), request.tokens.end());
  return held_object(tokenizer, tokens, answer->held());
}

Service::Stream::Stream(const Tokenizer& tokenizer, std::unique_ptr<Work> work)
    : tokenizer_(tokenizer),
      work_(std::move(work)),
      begun_(static_cast<std::size_t>(work_->n_choices())),
      offsets_(static_cast<std::size_t>(work_->n_choices())) {}

std::string Service::Stream::beginning(int choice) {
  if (work_->head.chat) return event(first_chunk(work_->head, choice));
  if (!work_->echo) return {};
  const int job = choice / work_->n;
  Piece prompt;
  prompt.choice = choice;
  prompt.text = work_->prompts[static_cast<std::size_t>(job)].text;
  Json logprobs;
  if (work_->scores) {
    logprobs = completion_logprobs(tokenizer_, work_->scored_prompt(job), work_->first_is_unknown(job), 0);
  }
  offsets_[static_cast<std::size_t>(choice)] = prompt.text.size();
  return event(piece_chunk(work_->head, prompt, logprobs));
}

std::string Service::Stream::chunk_of(const Piece& piece) {
  std::string text;
  const auto at = static_cast<std::size_t>(piece.choice);
  if (!begun_[at]) text = beginning(piece.choice);
  begun_[at] = true;
  Json logprobs;
  if (work_->scores) {
    logprobs = work_->head.chat ? chat_logprobs(tokenizer_, piece.tokens)
                                : completion_logprobs(tokenizer_, piece.tokens, false, offsets_[at]);
  }
  offsets_[at] += piece.text.size();
  Json chunk = piece_chunk(work_->head, piece, logprobs);
  if (work_->held && !told_held_) chunk["kvpress"]["held"] = work_->held_tokens(tokenizer_);
  told_held_ = true;
  return text + event(chunk);
}

bool Service::Stream::next(std::string& text) {
  text.clear();
  if (ended_) return false;
  try {
    Piece piece;
    switch (work_->answer->next(piece, kWait)) {
      case Answer::Next::piece:
        text = chunk_of(piece);
        break;
      case Answer::Next::nothing_yet:
        break;
      case Answer::Next::end:
        ended_ = true;
        if (work_->stream_usage) text = event(usage_chunk(work_->head, work_->answer->usage()));
        text += kEndOfEvents;
    }
  } catch (...) {
    ended_ = true;
    text = event(error_body(api_error_of(std::current_exception())));
  }
  return true;
}

}  // namespace kvpress::serve
