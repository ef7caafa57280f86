// Does the runs of a sweep, one experiment at a time: one load of the model, one tokenization, and one run of the full
// cache for all runs of an experiment.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/cli/sweep_options.h"
#include "kvpress/report/sweep_folder.h"

namespace kvpress {

class SweepRunner {
 public:
  /// Opens the model, reads and tokenizes the texts, prepares every press; decodes no weights yet. Throws what would
  /// stop a run later.
  explicit SweepRunner(const SweepOptions& options);

  const std::vector<SweepRun>& runs() const { return runs_; }
  const SweepGrid& grid() const { return grid_; }
  /// The folder of a run.
  std::string name(const SweepRun& run) const;
  /// Tokens that its texts have.
  std::int64_t tokens(const SweepRun& run) const;
  /// What must be the same for runs to belong together: program, model, texts.
  Json fingerprint() const;
  /// Bytes that it takes at most, by the sizes alone.
  double memory() const;

  /// Does the run and writes its folder. Runs of one experiment should come one after another.
  void run(const SweepRun& run, const SweepFolder& folder, const OnProgress& on_progress);

  /// Seconds a token takes, the comparison with the full cache included, by a short run of each experiment.
  double measure_seconds_per_token();

 private:
  const PreparedTexts& texts(const SweepRun& run) const {
    return texts_[run.dataset * grid_.protocols.size() + run.protocol];
  }
  LoadedModel& model();
  Experiment& experiment(const SweepRun& run, const OnProgress& on_progress);

  SweepOptions options_;
  SweepGrid grid_;
  std::vector<SweepRun> runs_;
  OpenedModel opened_;
  std::optional<Tokenizer> tokenizer_;
  std::vector<ProtocolSettings> protocols_;
  std::vector<PreparedTexts> texts_;  ///< of each data set under each protocol
  std::int64_t longest_ = 0;
  LoadedModel loaded_;
  std::optional<SweepRun> current_;  ///< a run of the experiment at hand
  std::unique_ptr<Experiment> experiment_;
};

}  // namespace kvpress
