// Questions over one context: each is answered as if it were the only one, or each sees those before.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "kvpress/engine/generate.h"
#include "kvpress/engine/sequence.h"

namespace kvpress {

/// What an answer took.
struct QuestionTimes {
  double read = 0;    ///< seconds of the question's pass
  double answer = 0;  ///< seconds of the tokens after it
};

class Questions {
 public:
  /// The context is not owned and must outlive this. With `keep`, questions and answers stay in it; otherwise it is as
  /// before when the next question comes. Where an answer evicts or rounds what is older, each question has a copy.
  Questions(Sequence& context, bool keep);

  /// Reads the question and continues it. A press for decode sees the question, but counts the answer's tokens alone.
  /// Throws as Sequence::append().
  Generated ask(std::span<const std::int32_t> question, const GenerateSettings& settings, const OnToken& on_token = {});

  /// The sequence with the newest question and its answer: the context, or the copy.
  const Sequence& newest() const { return copy_ ? *copy_ : context_; }
  QuestionTimes times() const { return times_; }

 private:
  Sequence& context_;
  bool keep_;
  std::optional<Sequence::Mark> mark_;  // if questions are taken back
  std::optional<Sequence> copy_;        // else if they are not kept
  QuestionTimes times_;
};

}  // namespace kvpress
