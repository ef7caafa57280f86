// Scores of kvpress's data sets, one answer at a time, by the formulas of its evaluation and of the packages that it
// calls (rouge, fuzzywuzzy, nltk). Each in [0, 1]. Throw UsageError for a row whose task has no formula here, or which
// lacks what the formula needs.
#pragma once

#include <string>
#include <string_view>

#include "tasks/task.h"

namespace kvpress {

/// Strings found in the prediction, case aside: the share of all, or whether any is for tasks named "qa_...".
double score_ruler(const TaskSample& sample, const std::string& predicted);

/// By task: token F1, ROUGE-L, classes, numbers of paragraphs, similarity of code; the best over the answers. Tasks
/// that need a segmenter of Chinese are refused.
double score_longbench(const TaskSample& sample, const std::string& predicted);
double score_longbench_e(const TaskSample& sample, const std::string& predicted);
/// "The correct answer is (A)".
double score_longbench_v2(const TaskSample& sample, const std::string& predicted);

/// By task: retrieval, code, choice, numbers, token F1.
double score_infinitebench(const TaskSample& sample, const std::string& predicted);

/// ROUGE-L's recall; for shortdep_cloze the share of the masks filled with the very name.
double score_loogle(const TaskSample& sample, const std::string& predicted);
struct Bleu {
  double bleu1 = 0, bleu4 = 0;
};
/// As nltk's sentence_bleu with all weight on words, and all on runs of four.
Bleu bleu(std::string_view reference, std::string_view hypothesis);
/// Masks filled rightly, of how many; `partly`: one word in common is enough.
struct ClozeScore {
  double right = 0, count = 0;
};
ClozeScore score_cloze(const std::string& reference, const std::string& hypothesis, bool partly);

/// ROUGE-L's F1 of the prediction against the needle (kvpress calls the needle the hypothesis).
double score_needle_in_haystack(const TaskSample& sample, const std::string& predicted);

/// What stands in \boxed{...}: of math500 in the first, of aime25 in the last.
double score_math500(const TaskSample& sample, const std::string& predicted);
double score_aime25(const TaskSample& sample, const std::string& predicted);

/// difflib's SequenceMatcher(None, a, b).ratio() on code points, as fuzzywuzzy.ratio() rounds it: per cent.
int similarity_percent(std::string_view a, std::string_view b);

}  // namespace kvpress
