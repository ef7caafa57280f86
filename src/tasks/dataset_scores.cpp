// RULER, LongBench-v2, needle_in_haystack, math500, aime25.
#include "tasks/dataset_scores.h"

#include "kvpress/base/error.h"
#include "tasks/answer_text.h"
#include "tasks/rouge.h"

namespace kvpress {
namespace {

const std::string& one_answer(const TaskSample& sample) {
  if (sample.answers.empty()) fail_usage("task {}: a row has no answer", sample.task);
  return sample.answers.front();
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

double score_ruler(const TaskSample& sample, const std::string& predicted) {
  one_answer(sample);
  std::string text;
  for (const char c : stripped(predicted)) {
    if (static_cast<unsigned char>(c) > 0x1f) text += c;
  }
  text = lower_case(text);
  double found = 0;
  for (const std::string& it : sample.answers) found += contains(text, lower_case(it)) ? 1 : 0;
  if (sample.task.starts_with("qa_") || sample.task == "qa") return found > 0 ? 1 : 0;
  return found / static_cast<double>(sample.answers.size());
}

double score_longbench_v2(const TaskSample& sample, const std::string& predicted) {
  const std::string text = replace_all(predicted, "*", "");
  const std::string& answer = one_answer(sample);
  return contains(text, "The correct answer is (" + answer + ")") || contains(text, "The correct answer is " + answer)
             ? 1
             : 0;
}

double score_needle_in_haystack(const TaskSample& sample, const std::string& predicted) {
  if (sample.needle.empty()) fail_usage("task {}: a row has no needle to compare with", sample.task);
  return rouge(stripped(sample.needle), stripped(predicted)).rouge_l.f1;
}

double score_math500(const TaskSample& sample, const std::string& predicted) {
  constexpr std::string_view kBox = "boxed{";
  const auto at = predicted.find(kBox);
  if (at == std::string::npos) return 0;
  // Up to the next box, as a split at boxes has it.
  std::string_view inside = std::string_view(predicted).substr(at + kBox.size());
  inside = inside.substr(0, inside.find(kBox));
  return inside.substr(0, inside.find('}')) == one_answer(sample) ? 1 : 0;
}

double score_aime25(const TaskSample& sample, const std::string& predicted) {
  // Without a box all of the answer counts, up to a brace.
  constexpr std::string_view kBox = "boxed{";
  const auto at = predicted.rfind(kBox);
  const std::string_view inside =
      at == std::string::npos ? std::string_view(predicted) : std::string_view(predicted).substr(at + kBox.size());
  return inside.substr(0, inside.find('}')) == one_answer(sample) ? 1 : 0;
}

}  // namespace kvpress
