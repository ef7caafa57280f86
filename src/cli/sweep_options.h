// What a sweep is asked to do: on the command line, in a plan file, or by the folder of one that was begun.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>

#include "cli/run_options.h"
#include "cli/text_options.h"
#include "eval/sweep_runner.h"
#include "report/documents/json.h"

namespace kvpress {

struct SweepOptions {
  ComputeOptions compute;
  ProtocolOptions protocol;  ///< its protocol is a list
  std::string datasets = "wikitext_ppl,pg19_ppl";
  std::string presses = "knorm,streaming_llm,snapkv,expected_attention";
  std::string ratios = "0.0:0.9:0.1,0.25,0.75";
  int repeats = 1;
  std::int64_t max_samples = 0;
  std::int64_t max_tokens = -1;  ///< -1: as each data set has it
  bool prefill_only = false;
  bool timeline = false;
  BosOption bos;

  /// The options that make up a plan.
  void add_to(CLI::App& command);
  SweepPlan plan() const;
};

/// Takes a plan file's entries for options that were not given on the command line: YAML, with the options' names as
/// keys, and lists where they take several values by commas. Throws UsageError for an unknown key, naming the known.
void apply_plan_file(CLI::App& command, const std::string& path);

/// The options of the plan with their values, defaults included: what plan.json holds.
Json plan_options(CLI::App& command);
/// The reverse.
void apply_plan_options(CLI::App& command, const Json& options);
/// Throws UsageError when an option of the plan was given on the command line.
void refuse_plan_options(CLI::App& command, const std::string& beside);

}  // namespace kvpress
