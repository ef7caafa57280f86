// Does the runs of a sweep, one experiment at a time: one load of the model, one tokenization, and one run of the full
// cache for all runs of an experiment.
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

/// What is varied, and what all runs share.
struct SweepPlan {
  SweepGrid grid;
  std::string model;
  LoadSettings load;
  /// Of a protocol of the grid, without a press and a ratio; the cache's format is the loaded model's to set.
  std::function<RunSettings(const std::string& protocol, const ModelConfig& config)> settings;
  std::int64_t max_samples = 0;            ///< 0: as each data set has it
  std::optional<std::int64_t> max_tokens;  ///< the same without a value
};

class SweepRunner {
 public:
  /// Opens the model, reads and tokenizes the texts, prepares every press; decodes no weights yet. Throws what would
  /// stop a run later.
  explicit SweepRunner(SweepPlan plan);

  const std::vector<SweepRun>& runs() const { return runs_; }
  const SweepPlan& plan() const { return plan_; }
  const OpenedModel& opened() const { return opened_; }
  /// The texts of a run.
  const PreparedTexts& texts(const SweepRun& run) const { return texts_[index(run)]; }
  const std::vector<PreparedTexts>& all_texts() const { return texts_; }  ///< of each data set under each protocol
  /// Tokens that its texts have.
  std::int64_t tokens(const SweepRun& run) const { return progress_total(texts(run).texts); }
  /// Bytes that it takes at most, by the sizes alone.
  double memory() const;

  /// A run and what is needed to describe it: the run of the full cache that it is compared with, and its settings.
  struct Result {
    Outcome outcome;
    const RunResult& full;
    const RunSettings& settings;
  };
  /// Does the run. Runs of one experiment should come one after another.
  Result run(const SweepRun& run, const OnProgress& on_progress);
  /// Loaded when first asked for.
  const LoadedModel& model();

  /// Seconds a token takes, the comparison with the full cache included, by a short run of each experiment.
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
