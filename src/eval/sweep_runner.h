// Executes the runs of a sweep, one experiment at a time. The model is loaded and the texts are tokenized once; the
// full cache is run once per experiment.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "eval/sweep.h"
#include "kvpress/engine/open_model.h"
#include "kvpress/eval/experiment.h"
#include "kvpress/eval/text_input.h"

namespace kvpress {

/// The grid, and the settings that all runs share.
struct SweepPlan {
  SweepGrid grid;
  std::string model;
  LoadSettings load;
  /// The settings of a protocol, without press and ratio. The format of the cache is set when the model is loaded.
  std::function<RunSettings(const std::string& protocol, const ModelConfig& config)> settings;
  std::int64_t max_samples = 0;            ///< 0: the default of each data set
  std::optional<std::int64_t> max_tokens;  ///< empty: the default of each data set
  BosChoice bos = BosChoice::automatic;
};

class SweepRunner {
 public:
  /// Opens the model, tokenizes the texts and prepares all presses, but decodes no weights. Throws UsageError or Error
  /// for whatever would stop a later run.
  explicit SweepRunner(SweepPlan plan);

  const std::vector<SweepRun>& runs() const { return runs_; }
  const SweepPlan& plan() const { return plan_; }
  const OpenedModel& opened() const { return opened_; }
  /// The texts of a run.
  const PreparedTexts& texts(const SweepRun& run) const { return texts_[index(run)]; }
  const std::vector<PreparedTexts>& all_texts() const { return texts_; }  ///< of each data set under each protocol
  /// The number of tokens of its texts.
  std::int64_t tokens(const SweepRun& run) const { return progress_total(texts(run).texts); }
  /// An upper bound of the memory in bytes, computed from sizes.
  double memory() const;

  /// A run with the run of the full cache and its settings. The references are valid until the next call of run().
  struct Result {
    Outcome outcome;
    const RunResult& full;
    const RunSettings& settings;
  };
  /// Executes a run. Runs of the same experiment should be consecutive.
  Result run(const SweepRun& run, const OnProgress& on_progress);
  /// Loads the model on the first call.
  const LoadedModel& model();

  /// Seconds per token, including the comparison with the full cache, measured by a short run of each experiment.
  double measure_seconds_per_token();

 private:
  std::size_t index(const SweepRun& run) const { return run.dataset * plan_.grid.protocols.size() + run.protocol; }
  RunSettings settings(const SweepRun& run);
  Experiment& experiment(const SweepRun& run, const OnProgress& on_progress);

  SweepPlan plan_;
  std::vector<SweepRun> runs_;
  OpenedModel opened_;
  std::optional<Tokenizer> tokenizer_;
  std::vector<RunSettings> protocols_;
  std::vector<PreparedTexts> texts_;
  std::int64_t longest_ = 0;
  LoadedModel loaded_;
  std::optional<SweepRun> current_;  // a run of the experiment at hand
  std::unique_ptr<Experiment> experiment_;
};

}  // namespace kvpress
