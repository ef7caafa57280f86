// What a sweep leaves in its folder: names and contents of its runs' folders, and what they were made with.
#pragma once

#include <string>

#include "eval/sweep_runner.h"
#include "report/documents/sweep_folder.h"

namespace kvpress {

/// The name of a run's folder.
std::string sweep_run_name(const SweepPlan& plan, const SweepRun& run);
/// Throws UsageError when two runs would have the same name, or one a name too long for a folder.
void refuse_same_names(const SweepPlan& plan);

/// What must be the same for runs to belong together: program, model, texts.
Json sweep_fingerprint(const SweepRunner& runner);

/// Does a run and writes its folder.
void run_and_write(SweepRunner& runner, const SweepRun& run, bool prefill_only, const SweepFolder& folder,
                   const OnProgress& on_progress);

}  // namespace kvpress
