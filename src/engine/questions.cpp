#include "kvpress/engine/questions.h"

#include "kvpress/base/timer.h"

namespace kvpress {

Questions::Questions(Sequence& context, bool keep) : context_(context), keep_(keep) {
  // A press for decode begins with the answer, and with it what it changes.
  if (!keep && context.marks_stay_valid()) mark_ = context.mark();
}

Generated Questions::ask(std::span<const std::int32_t> question, const GenerateSettings& settings,
                         const OnToken& on_token) {
  if (mark_ && context_.n_tokens() > 0) context_.rewind(*mark_);
  if (!keep_ && !mark_) {
    copy_.reset();  // two copies at a time would take twice the memory
    copy_.emplace(context_.fork());
  }
  Sequence& sequence = copy_ ? *copy_ : context_;
  const Timer reading;
  sequence.set_compressing(false);
  sequence.append(question);
  times_.read = reading.seconds();
  Generated generated = generate(sequence, settings, on_token);
  times_.answer = generated.seconds;
  return generated;
}

}  // namespace kvpress
