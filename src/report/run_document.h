// Results of runs as JSON: the document of `kvpress ppl`, metrics.json, and the rows of tables.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "kvpress/engine/open_model.h"
#include "kvpress/eval/experiment.h"
#include "kvpress/eval/text_input.h"

namespace kvpress {

using Json = nlohmann::ordered_json;

/// Settings and numbers that all runs of an experiment share.
struct ExperimentInfo {
  std::string model;
  std::string dataset;
  std::string dtype;
  RunSettings settings;  ///< without a press; with context_tokens as computed for the first text
  std::int64_t n_tokens = 0;
  std::vector<std::string> text_names;  ///< of each text; with fewer than two, no results per text
  bool prefill_only = false;            ///< runtime_sec includes only prefill and compression
  double load_sec = 0;
  double tokenize_sec = 0;
};

ExperimentInfo experiment_info(const LoadedModel& loaded, const PreparedTexts& texts, const RunSettings& settings,
                               bool prefill_only);

/// compression_interval, target_size or budget, positions: what of them there is.
void describe_budget(Json& json, const CompressionSettings& settings);

/// model, dataset, protocol and its settings, dtypes, threads, version, cpu, load_sec, tokenize_sec.
Json describe_experiment(const ExperimentInfo& info);

/// One run: press, ratio, perplexity, mean_nll, ..., cache and times. With several texts also per_text (a list)
/// and mean_over_texts (mean, ci95 and sd of each measure).
Json describe_run(const std::string& press, double compression_ratio, const RunResult& run, const ExperimentInfo& info);

/// The same, with the comparison with the full cache: delta_nll, delta_nll_ci95, kl_full, top1_agreement.
Json describe_outcome(const Outcome& outcome, const ExperimentInfo& info);

/// The outcomes of one data set as a table for terminals, one line each.
std::string outcome_table(const std::vector<Json>& runs);

/// The same outcomes per text and over texts; empty if there is only one text.
std::string texts_table(const std::vector<Json>& runs);

/// A sentence on the presses nearest to and farthest from the full cache; empty if there are none.
std::string outcome_sentence(const std::vector<Json>& runs);

}  // namespace kvpress
