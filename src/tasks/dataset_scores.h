// Scores of single answers for the data sets of kvpress, with the formulas of its evaluation and of the packages that
// it uses (rouge, fuzzywuzzy, nltk). All scores are in [0, 1]. The functions throw UsageError for an unknown task and
// for a row without the data that the formula needs.
#pragma once

#include <string>
#include <string_view>

#include "tasks/task.h"

namespace kvpress {

/// The share of the answers that occur in the prediction, ignoring case. For tasks named "qa_...", 1 if any occurs.
double score_ruler(const TaskSample& sample, const std::string& predicted);

/// Depends on the task: token F1, ROUGE-L, classes, numbers of paragraphs, similarity of code. The best score over the
/// answers. Throws for tasks that need a segmenter of Chinese.
double score_longbench(const TaskSample& sample, const std::string& predicted);
double score_longbench_e(const TaskSample& sample, const std::string& predicted);
/// 1 for "The correct answer is (A)" with the right letter.
double score_longbench_v2(const TaskSample& sample, const std::string& predicted);

/// Depends on the task: retrieval, code, choice, numbers, token F1.
double score_infinitebench(const TaskSample& sample, const std::string& predicted);

/// The recall of ROUGE-L; for shortdep_cloze, the share of masks with exactly the right name.
double score_loogle(const TaskSample& sample, const std::string& predicted);
struct Bleu {
  double bleu1 = 0, bleu4 = 0;
};
/// nltk's sentence_bleu with all weight on 1-grams, and with all weight on 4-grams.
Bleu bleu(std::string_view reference, std::string_view hypothesis);
/// The number of correct masks, and of all masks. With `partly`, one common word is enough.
struct ClozeScore {
  double right = 0, count = 0;
};
ClozeScore score_cloze(const std::string& reference, const std::string& hypothesis, bool partly);

/// F1 of ROUGE-L between prediction and needle. As in kvpress, the needle is the hypothesis.
double score_needle_in_haystack(const TaskSample& sample, const std::string& predicted);

/// Compares the content of \boxed{...}: the first one for math500, the last one for aime25.
double score_math500(const TaskSample& sample, const std::string& predicted);
double score_aime25(const TaskSample& sample, const std::string& predicted);

/// difflib's SequenceMatcher(None, a, b).ratio() on code points, in percent, rounded as by fuzzywuzzy.ratio().
int similarity_percent(std::string_view a, std::string_view b);

}  // namespace kvpress
