// A sweep over many processes by MPI: rank 0 hands out runs, the others ask for the next one.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <vector>

#include "eval/sweep_runner.h"
#include "report/documents/sweep_folder.h"

namespace kvpress {

/// How many processes mpirun started, this one among them, and which one this is. Looks at the environment alone.
struct MpiPlace {
  int size = 1;
  int rank = 0;
  int local_size = 1;  ///< of them on this machine
};
MpiPlace mpi_place();

using OnRunDone = std::function<void(const SweepRun&)>;

/// The part of rank 0: hands out `todo` (indices into the runner's runs), in order, until all are on disk. A rank that
/// died (mpirun --enable-recovery; without it mpirun ends all) gives its run back to another. Throws Error with what a
/// rank said when its run failed, after the others have ended theirs; and when all died.
void hand_out_runs(const SweepRunner& runner, const std::vector<std::size_t>& todo, const SweepFolder& folder,
                   const OnRunDone& on_done);

/// The part of the others: asks for runs and does them until there are none left.
void do_runs_for_rank_0(SweepRunner& runner, bool prefill_only, const std::filesystem::path& path);

}  // namespace kvpress
