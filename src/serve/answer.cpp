#include "serve/answer.h"

#include <algorithm>

namespace kvpress::serve {

std::string StopStrings::take(std::string_view piece) {
  if (stopped_) return {};
  held_ += piece;
  // The one that ends first counts: so it does not matter in which pieces the text comes.
  std::size_t begin = 0;
  std::size_t end = std::string::npos;
  for (const std::string& stop : stops_) {
    const std::size_t at = held_.find(stop);
    if (at == std::string::npos) continue;
    if (at + stop.size() < end || (at + stop.size() == end && at < begin)) {
      begin = at;
      end = at + stop.size();
    }
  }
  if (end != std::string::npos) {
    stopped_ = true;
    std::string shown = held_.substr(0, begin);
    held_.clear();
    return shown;
  }
  std::size_t n_kept = 0;  // the longest end of the text that begins a stop string
  for (const std::string& stop : stops_) {
    for (std::size_t n = std::min(stop.size() - 1, held_.size()); n > n_kept; --n) {
      if (std::string_view(held_).substr(held_.size() - n) == std::string_view(stop).substr(0, n)) n_kept = n;
    }
  }
  std::string shown = held_.substr(0, held_.size() - n_kept);
  held_.erase(0, shown.size());
  return shown;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

Answer::Next Answer::next(Piece& piece, std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, wait, [&] { return !pieces_.empty() || n_open_ == 0 || error_; });
  if (error_) std::rethrow_exception(error_);
  if (!pieces_.empty()) {
    piece = std::move(pieces_.front());
    pieces_.pop_front();
    return Next::piece;
  }
  return n_open_ == 0 ? Next::end : Next::nothing_yet;
}

void Answer::push(Piece piece) {
  const std::scoped_lock lock(mutex_);
  pieces_.push_back(std::move(piece));
  changed_.notify_all();
}

void Answer::add_scored(int job, std::vector<ScoredToken> tokens) {
  const std::scoped_lock lock(mutex_);
  scored_prompts_.resize(std::max(scored_prompts_.size(), static_cast<std::size_t>(job) + 1));
  auto& all = scored_prompts_[static_cast<std::size_t>(job)];
  all.insert(all.end(), std::make_move_iterator(tokens.begin()), std::make_move_iterator(tokens.end()));
}

void Answer::set_held(std::vector<float> shares) {
  const std::scoped_lock lock(mutex_);
  held_ = std::move(shares);
}

void Answer::end_job(const JobUsage& usage) {
  const std::scoped_lock lock(mutex_);
  usage_.prompt_tokens += usage.prompt_tokens;
  usage_.reused_tokens += usage.reused_tokens;
  usage_.new_tokens += usage.new_tokens;
  usage_.cache_tokens = std::max(usage_.cache_tokens, usage.cache_tokens);
  usage_.cache_bytes += usage.cache_bytes;
  usage_.peak_bytes = std::max(usage_.peak_bytes, usage.peak_bytes);
  usage_.wait_sec = std::max(usage_.wait_sec, usage.wait_sec);
  usage_.prefill_sec = std::max(usage_.prefill_sec, usage.prefill_sec);
  usage_.compress_sec = std::max(usage_.compress_sec, usage.compress_sec);
  usage_.decode_sec = std::max(usage_.decode_sec, usage.decode_sec);
  --n_open_;
  changed_.notify_all();
}

void Answer::fail(std::exception_ptr error) {
  const std::scoped_lock lock(mutex_);
  if (!error_) error_ = std::move(error);
  changed_.notify_all();
}

AnswerWriter::AnswerWriter(const Tokenizer& tokenizer, std::shared_ptr<Answer> answer, int job, int n_choices,
                           const TextSettings& settings)
    : tokenizer_(tokenizer), answer_(std::move(answer)), job_(job), follows_text_(settings.follows_text) {
  for (int i = 0; i < n_choices; ++i) texts_.push_back({{}, StopStrings(settings.stops), {}});
}

Piece AnswerWriter::piece_of(int choice, std::string text) {
  Text& own = texts_[static_cast<std::size_t>(choice)];
  return {job_ * static_cast<int>(texts_.size()) + choice,
          std::move(text),
          std::exchange(own.tokens, {}),
          {},
          own.cache_tokens,
          own.cache_bytes};
}

bool AnswerWriter::on_token(int choice, const GeneratedToken& token) {
  Text& own = texts_[static_cast<std::size_t>(choice)];
  const bool is_begin = !std::exchange(own.begun, true) && !follows_text_;
  const std::string bytes = is_begin ? tokenizer_.decode({&token.id, 1}) : tokenizer_.decode_next({&token.id, 1});
  std::string text = own.stops.take(own.characters.take(bytes));
  own.cache_tokens = token.cache_tokens;
  own.cache_bytes = token.cache_bytes;
  const bool goes_on = !own.stops.stopped();
  if (goes_on) own.tokens.push_back(token.scored);
  if (!text.empty()) answer_->push(piece_of(choice, std::move(text)));
  return goes_on;
}

void AnswerWriter::on_end(int choice, EndReason reason) {
  Text& own = texts_[static_cast<std::size_t>(choice)];
  std::string text;
  if (reason != EndReason::listener) text = own.stops.take(own.characters.finish()) + own.stops.finish();
  Piece last = piece_of(choice, std::move(text));
  last.finish_reason = reason == EndReason::length ? "length" : "stop";
  answer_->push(std::move(last));
}

}  // namespace kvpress::serve
