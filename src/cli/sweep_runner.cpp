#include "kvpress/cli/sweep_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "kvpress/base/error.h"
#include "kvpress/base/file.h"
#include "kvpress/base/hash.h"
#include "kvpress/base/timer.h"
#include "kvpress/base/version.h"
#include "kvpress/cli/named_dataset.h"
#include "kvpress/eval/memory_plan.h"
#include "kvpress/formats/model_fingerprint.h"
#include "kvpress/ops/isa.h"
#include "kvpress/report/result_folder.h"
#include "kvpress/report/timeline.h"

namespace kvpress {
namespace {

std::string hexadecimal(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

/// The running program, which a new build changes even where the version stays.
std::string program_fingerprint() {
  const MappedFile program("/proc/self/exe");
  const auto bytes = program.bytes();
  return hexadecimal(hash_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
}

Json describe(const PreparedTexts& prepared) {
  std::uint64_t hash = 0;
  std::int64_t tokens = 0;
  for (const TokenizedText& it : prepared.texts) {
    hash = mix(hash ^ hash_bytes({reinterpret_cast<const char*>(it.ids.data()), it.ids.size() * sizeof(it.ids[0])}));
    tokens += static_cast<std::int64_t>(it.ids.size());
  }
  return {{"n_texts", prepared.texts.size()}, {"n_tokens", tokens}, {"hash", hexadecimal(hash)}};
}

void refuse_same_names(const SweepRunner& runner) {
  std::set<std::string> names;
  for (const SweepRun& it : runner.runs()) {
    const std::string name = runner.name(it);
    if (!names.insert(name).second) {
      fail_usage("--ratios: two runs would have the name {}; use ratios that differ in the first four digits", name);
    }
    if (name.size() > 240) fail_usage("--presses: '{}' is too long for a folder name", it.press);
  }
}

}  // namespace

SweepRunner::SweepRunner(const SweepOptions& options) : options_(options), grid_(options.grid()) {
  runs_ = sweep_runs(grid_);
  for (const std::string& it : grid_.datasets) check_dataset_name(it, "--datasets");
  if (options_.compute.model.empty()) fail_usage("--model: is missing; give a model");
  refuse_same_names(*this);
  opened_ = open_model(options_.compute.model);
  for (const std::string& it : grid_.protocols) {
    protocols_.push_back(options_.settings(it, opened_.config));
    if (protocols_.back().has_fixed_budget()) {
      fail_usage("--target-size: would replace the ratios of the sweep; remove it");
    }
  }
  tokenizer_.emplace(open_tokenizer(*opened_.files));
  for (const std::string& it : grid_.presses) {
    const NamedPress press = parse_press(it, Names::registry);
    for (const ProtocolSettings& protocol : protocols_) check_schedule(press, protocol);
    prepare_press(press, opened_.config, options_.compute.model, &*tokenizer_);
  }
  const std::optional<std::int64_t> max_tokens =
      options_.max_tokens >= 0 ? std::optional(options_.max_tokens) : std::nullopt;
  for (const std::string& dataset : grid_.datasets) {
    for (const ProtocolSettings& protocol : protocols_) {
      texts_.push_back(prepare_dataset({.name = dataset, .max_samples = options_.max_samples}, max_tokens, *tokenizer_,
                                       protocol, opened_.config));
      longest_ = std::max(longest_, longest_cache(protocol, texts_.back().longest()));
    }
  }
}

std::string SweepRunner::name(const SweepRun& run) const {
  std::string name = result_folder_name(grid_.datasets[run.dataset], options_.compute.model, run.press, run.ratio);
  if (grid_.protocols.size() > 1) name += "__" + grid_.protocols[run.protocol];
  if (run.repeat > 0) name += fmt::format("__repeat{}", run.repeat + 1);
  return name;
}

std::int64_t SweepRunner::tokens(const SweepRun& run) const { return progress_total(texts(run).texts); }

Json SweepRunner::fingerprint() const {
  Json json;
  json["version"] = version();
  json["program"] = program_fingerprint();
  json["model"] = model_fingerprint(*opened_.files);
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    json["texts"][grid_.datasets[i / grid_.protocols.size()]][grid_.protocols[i % grid_.protocols.size()]] =
        describe(texts_[i]);
  }
  return json;
}

double SweepRunner::memory() const {
  // The states that two runs are compared by, the full cache's and one more.
  std::int64_t scored = 0;
  for (const PreparedTexts& it : texts_) scored = std::max(scored, progress_total(it.texts));
  const auto states = 2.0 * static_cast<double>(scored * opened_.config.hidden_size) * sizeof(float);
  return plan_run(opened_.config, opened_.files->tensors.get(), options_.compute, longest_, longest_).total() + states;
}

LoadedModel& SweepRunner::model() {
  if (loaded_.model == nullptr) loaded_ = load_model(opened_, options_.compute, longest_, longest_);
  return loaded_;
}

Experiment& SweepRunner::experiment(const SweepRun& run, const OnProgress& on_progress) {
  if (!current_ || !current_->same_experiment(run)) {
    current_.reset();
    experiment_.reset();  // its full cache's states go before the next one's come
    const LoadedModel& loaded = model();
    experiment_ = std::make_unique<Experiment>(
        *loaded.model, texts(run).texts,
        RunSettings{protocols_[run.protocol], {}, loaded.cache_format, options_.compute.seed, options_.timeline});
    experiment_->report_to(on_progress);
    experiment_->warm_up();
    current_ = run;
  }
  return *experiment_;
}

void SweepRunner::run(const SweepRun& run, const SweepFolder& folder, const OnProgress& on_progress) {
  Experiment& experiment = this->experiment(run, on_progress);
  const bool full = run.press == "no_press" && run.repeat == 0;
  const Outcome outcome = full ? experiment.full() : experiment.run(parse_press(run.press, Names::registry), run.ratio);
  const ExperimentInfo info =
      experiment_info(options_.compute, loaded_, texts(run), protocols_[run.protocol], options_.prefill_only);
  Json config = describe_experiment(info);
  config["press"] = run.press;
  config["compression_ratio"] = run.ratio;
  config["prefill_only"] = options_.prefill_only;
  folder.write(name(run), predictions_csv(outcome.run, experiment.baseline()), describe_outcome(outcome, info), config,
               timeline_file(outcome.run));
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
    ProtocolSettings protocol = protocols_[run.protocol];
    if (!protocol.splits_text() && protocol.context_tokens >= static_cast<std::int64_t>(text.ids.size())) {
      protocol.context_tokens = 0;
    }
    Experiment experiment(*model().model, {text}, {protocol, {}, loaded_.cache_format, options_.compute.seed});
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
