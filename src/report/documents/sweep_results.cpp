#include "report/documents/sweep_results.h"

#include <fmt/format.h>

#include <set>

#include "base/file.h"
#include "base/hash.h"
#include "formats/model_fingerprint.h"
#include "kvpress/base/error.h"
#include "kvpress/base/version.h"
#include "report/documents/result_folder.h"
#include "report/documents/run_document.h"
#include "report/documents/timeline_document.h"

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
  for (const TokenizedText& it : prepared.texts) {
    hash = mix(hash ^ hash_bytes({reinterpret_cast<const char*>(it.ids.data()), it.ids.size() * sizeof(it.ids[0])}));
  }
  return {
      {"n_texts", prepared.texts.size()}, {"n_tokens", progress_total(prepared.texts)}, {"hash", hexadecimal(hash)}};
}

}  // namespace

std::string sweep_run_name(const SweepPlan& plan, const SweepRun& run) {
  std::string name = result_folder_name(plan.grid.datasets[run.dataset], plan.model, run.press, run.ratio);
  if (plan.grid.protocols.size() > 1) name += "__" + plan.grid.protocols[run.protocol];
  if (run.repeat > 0) name += fmt::format("__repeat{}", run.repeat + 1);
  return name;
}

void refuse_same_names(const SweepPlan& plan) {
  std::set<std::string> names;
  for (const SweepRun& it : sweep_runs(plan.grid)) {
    const std::string name = sweep_run_name(plan, it);
    if (!names.insert(name).second) {
      fail_setting("ratios", "two runs would have the name {}; use ratios that differ in the first four digits", name);
    }
    if (name.size() > 240) fail_setting("presses", "'{}' is too long for a folder name", it.press);
  }
}

Json sweep_fingerprint(const SweepRunner& runner) {
  const SweepGrid& grid = runner.plan().grid;
  Json json;
  json["version"] = version();
  json["program"] = program_fingerprint();
  json["model"] = model_fingerprint(*runner.opened().files);
  const std::vector<PreparedTexts>& texts = runner.all_texts();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    json["texts"][grid.datasets[i / grid.protocols.size()]][grid.protocols[i % grid.protocols.size()]] =
        describe(texts[i]);
  }
  return json;
}

void run_and_write(SweepRunner& runner, const SweepRun& run, bool prefill_only, const SweepFolder& folder,
                   const OnProgress& on_progress) {
  const SweepRunner::Result result = runner.run(run, on_progress);
  const ExperimentInfo info = experiment_info(runner.model(), runner.texts(run), result.settings, prefill_only);
  Json config = describe_experiment(info);
  config["press"] = run.press;
  config["compression_ratio"] = run.ratio;
  config["prefill_only"] = prefill_only;
  folder.write(sweep_run_name(runner.plan(), run), predictions_csv(result.outcome.run, result.full),
               describe_run(summary_of(result.outcome, info)), config, timeline_file(result.outcome.run));
}

}  // namespace kvpress
