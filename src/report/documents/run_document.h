// Results of runs as JSON: the document of `kvpress ppl`, metrics.json, config.yaml.
#pragma once

#include "kvpress/eval/experiment_info.h"
#include "kvpress/eval/run_summary.h"
#include "report/documents/json.h"

namespace kvpress {

/// Adds compression_interval, target_size or budget, positions and press_window_layers to `json`, as far as they are
/// set.
void describe_budget(Json& json, const CompressionSettings& settings);

/// model, dataset, protocol and its settings, dtypes, threads, version, cpu, load_sec, tokenize_sec.
Json describe_experiment(const ExperimentInfo& info);

/// One run: press, ratio, evicted_share, perplexity, mean_nll, ..., cache and times; for a compared run also delta_nll,
/// delta_nll_ci95, kl_full, kl_full_ci95, top1_agreement, and paired_units, by which it can be compared with others.
/// With several texts also per_text (a list) and mean_over_texts (mean, ci95 and sd of each measure).
Json describe_run(const RunSummary& run);

}  // namespace kvpress
