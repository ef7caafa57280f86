// The result folders of the runs of a sweep: their names, contents and fingerprint.
#pragma once

#include <string>

#include "eval/sweep_runner.h"
#include "report/documents/sweep_folder.h"

namespace kvpress {

/// The name of a run's folder.
std::string sweep_run_name(const SweepPlan& plan, const SweepRun& run);
/// Throws UsageError if two runs have the same name, or if a name is too long for a folder.
void refuse_same_names(const SweepPlan& plan);

/// Identifies program, model and texts. Runs belong to the same sweep only if it is equal.
Json sweep_fingerprint(const SweepRunner& runner);

/// Executes a run and writes its folder.
void run_and_write(SweepRunner& runner, const SweepRun& run, bool prefill_only, const SweepFolder& folder,
                   const OnProgress& on_progress);

}  // namespace kvpress
