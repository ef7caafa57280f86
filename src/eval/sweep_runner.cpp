#include "eval/sweep_runner.h"

#include <algorithm>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/timer.h"
#include "kvpress/eval/named_dataset.h"

namespace kvpress {

SweepRunner::SweepRunner(SweepPlan plan) : plan_(std::move(plan)) {
  const SweepGrid& grid = plan_.grid;
  runs_ = sweep_runs(grid);
  for (const std::string& it : grid.datasets) check_dataset_name(it, setting("datasets"));
  if (plan_.model.empty()) fail_setting("model", "is missing; give a model");
  opened_ = open_model(plan_.model);
  for (const std::string& it : grid.protocols) {
    protocols_.push_back(plan_.settings(it, opened_.config));
    if (protocols_.back().compression.has_fixed_budget()) {
      fail_usage("{}, {}: a fixed budget would replace the ratios of the sweep; remove it", setting("budget"),
                 setting("target_size"));
    }
  }
  tokenizer_.emplace(opened_.tokenizer());
  for (const std::string& it : grid.presses) {
    const NamedPress press = parse_press(it, Names::registry);
    for (const RunSettings& run : protocols_) check_settings(run.protocol, run.compression.with(press, 0));
    opened_.prepare(press, &*tokenizer_);
  }
  for (const std::string& dataset : grid.datasets) {
    for (const RunSettings& run : protocols_) {
      texts_.push_back(prepare_dataset({.name = dataset, .max_samples = plan_.max_samples}, plan_.max_tokens,
                                       *tokenizer_, run.protocol, opened_.config, plan_.bos));
      longest_ = std::max(longest_, longest_cache(run.protocol, texts_.back().longest()));
    }
  }
}

double SweepRunner::memory() const {
  // The states that two runs are compared by, the full cache's and one more.
  std::int64_t scored = 0;
  for (const PreparedTexts& it : texts_) scored = std::max(scored, progress_total(it.texts));
  const auto states = 2.0 * static_cast<double>(scored * opened_.config.hidden_size) * sizeof(float);
  return opened_.plan(plan_.load, longest_, longest_).total() + states;
}

const LoadedModel& SweepRunner::model() {
  if (loaded_.model == nullptr) loaded_ = load_model(opened_, plan_.load, longest_, longest_);
  return loaded_;
}

RunSettings SweepRunner::settings(const SweepRun& run) {
  RunSettings settings = protocols_[run.protocol];
  settings.compression.cache_format = model().cache_format;
  return settings;
}

Experiment& SweepRunner::experiment(const SweepRun& run, const OnProgress& on_progress) {
  if (!current_ || !current_->same_experiment(run)) {
    current_.reset();
    experiment_.reset();  // its full cache's states go before the next one's come
    experiment_ = std::make_unique<Experiment>(*model().model, texts(run).texts, settings(run));
    experiment_->report_to(on_progress);
    experiment_->warm_up();
    current_ = run;
  }
  return *experiment_;
}

SweepRunner::Result SweepRunner::run(const SweepRun& run, const OnProgress& on_progress) {
  Experiment& experiment = this->experiment(run, on_progress);
  const bool full = run.press == "no_press" && run.repeat == 0;
  Outcome outcome = full ? experiment.full() : experiment.run(parse_press(run.press, Names::registry), run.ratio);
  return {std::move(outcome), experiment.baseline(), experiment.settings()};
}

double SweepRunner::measure_seconds_per_token() {
  constexpr std::size_t kTokens = 2048;
  double seconds = 0;
  std::int64_t tokens = 0;
  for (const SweepRun& run : runs_) {
    if (run.press != "no_press" || run.repeat > 0) continue;
    TokenizedText text = texts(run).texts.front();
    text.ids.resize(std::min(text.ids.size(), kTokens));
    text.n_bytes.resize(text.ids.size());
    RunSettings settings = this->settings(run);
    settings.timeline = false;
    if (!settings.protocol.splits_text() &&
        settings.protocol.context_tokens >= static_cast<std::int64_t>(text.ids.size())) {
      settings.protocol.context_tokens = 0;
    }
    Experiment experiment(*model().model, {text}, settings);
    experiment.warm_up();
    experiment.baseline();
    const Timer timer;
    experiment.run(parse_press("no_press"), 0);
    seconds += timer.seconds();
    tokens += experiment.n_tokens();
  }
  return seconds / static_cast<double>(tokens);
}

}  // namespace kvpress
