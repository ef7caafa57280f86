#include "report/documents/task_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string_view>

#include "kvpress/base/error.h"
#include "tasks/answer_text.h"
#include "tasks/dataset_scores.h"
#include "tasks/rouge.h"

namespace kvpress {
namespace {

using Indices = std::vector<std::size_t>;

/// To so many digits, as Python rounds: by what the number exactly is.
double rounded(double value, int digits) { return std::stod(fmt::format("{:.{}f}", value, digits)); }

double mean(const Indices& which, const std::vector<double>& values) {
  double sum = 0;
  for (const std::size_t i : which) sum += values[i];
  return sum / static_cast<double>(which.size());
}

/// The samples of each value of a field, in the order of the values.
std::map<std::string, Indices> grouped(const std::vector<TaskSample>& samples, std::string TaskSample::*field) {
  std::map<std::string, Indices> groups;
  for (std::size_t i = 0; i < samples.size(); ++i) groups[samples[i].*field].push_back(i);
  return groups;
}

Json rouge_json(const RougeScore& it) { return {{"r", it.recall}, {"p", it.precision}, {"f", it.f1}}; }

Json by_length(const std::vector<TaskSample>& samples, const std::vector<double>& scores) {
  Indices groups[3];
  for (std::size_t i = 0; i < samples.size(); ++i) {
    char* end = nullptr;
    const double length = std::strtod(samples[i].length.c_str(), &end);
    if (samples[i].length.empty() || *end != '\0')
      fail_usage("task {}: the length of a row is not a number", samples[i].task);
    groups[length < 4000 ? 0 : length < 8000 ? 1 : 2].push_back(i);
  }
  Json metrics;
  const char* names[] = {"0-4k", "4-8k", "8k+"};
  for (int g = 0; g < 3; ++g) {
    metrics[names[g]] = groups[g].empty() ? Json() : Json(rounded(100 * mean(groups[g], scores), 2));
  }
  return metrics;
}

Json loogle(const std::vector<TaskSample>& samples, const std::vector<std::string>& predicted) {
  Json metrics;
  for (const auto& [task, which] : grouped(samples, &TaskSample::task)) {
    Json& json = metrics[task];
    if (task == "shortdep_cloze") {
      for (const auto& [name, partly] : {std::pair{"exact_match", false}, {"partial_match", true}}) {
        ClozeScore sum;
        for (const std::size_t i : which) {
          const ClozeScore it = score_cloze(samples[i].answers.at(0), predicted[i], partly);
          sum.right += it.right;
          sum.count += it.count;
        }
        json[name] = rounded(sum.right / sum.count, 4);
      }
      continue;
    }
    std::vector<std::pair<const char*, double>> sums = {
        {"bleu1", 0}, {"bleu4", 0}, {"rouge-1", 0}, {"rouge-2", 0}, {"rouge-l", 0}};
    for (const std::size_t i : which) {
      const Bleu b = bleu(samples[i].answers.at(0), predicted[i]);
      const Rouge r = rouge(predicted[i], samples[i].answers.at(0));
      const double values[] = {b.bleu1, b.bleu4, r.rouge_1.recall, r.rouge_2.recall, r.rouge_l.recall};
      for (std::size_t k = 0; k < sums.size(); ++k) sums[k].second += values[k];
    }
    for (const auto& [name, sum] : sums) json[name] = sum / static_cast<double>(which.size());
  }
  return metrics;
}

Json boxed(const std::vector<std::string>& predicted, const std::vector<double>& scores) {
  double correct = 0;
  for (const double it : scores) correct += it;
  const auto answered = std::count_if(predicted.begin(), predicted.end(),
                                      [](const std::string& it) { return it.find("boxed{") != std::string::npos; });
  return {{"correct", static_cast<std::int64_t>(correct)},
          {"answered", answered},
          {"accuracy", correct / static_cast<double>(scores.size())},
          {"total", scores.size()}};
}

}  // namespace

Json task_metrics(const std::string& scorer, const std::vector<TaskSample>& samples,
                  const std::vector<std::string>& predicted, const std::vector<double>& scores) {
  Indices all(samples.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  if (scorer == "longbench-e") return by_length(samples, scores);
  if (scorer == "loogle") return loogle(samples, predicted);
  if (scorer == "math500" || scorer == "aime25") return boxed(predicted, scores);
  if (scorer == "infinitebench") return mean(all, scores);
  if (scorer == "longbench") {
    const auto groups = grouped(samples, &TaskSample::task);
    if (groups.size() == 1) return rounded(100 * mean(all, scores), 2);
    Json metrics;
    for (const auto& [task, which] : groups) metrics[task] = rounded(100 * mean(which, scores), 2);
    return metrics;
  }
  if (scorer == "longbench-v2") {
    Json metrics = {{"average", mean(all, scores)}};
    for (const auto field : {&TaskSample::difficulty, &TaskSample::length}) {
      for (const auto& [name, which] : grouped(samples, field)) metrics[name] = mean(which, scores);
    }
    return metrics;
  }
  if (scorer == "needle_in_haystack") {
    Json metrics = Json::array();
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const Rouge it = rouge(stripped(samples[i].needle), stripped(predicted[i]));
      metrics.push_back({{"rouge-1", rouge_json(it.rouge_1)},
                         {"rouge-2", rouge_json(it.rouge_2)},
                         {"rouge-l", rouge_json(it.rouge_l)}});
    }
    return metrics;
  }
  Json metrics;  // RULER's way, which the tasks made here follow
  for (const auto& [task, which] : grouped(samples, &TaskSample::task)) {
    metrics[task] = {{"string_match", rounded(100 * mean(which, scores), 2)}};
  }
  return metrics;
}

}  // namespace kvpress
