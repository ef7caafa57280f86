// A sweep over a cluster by Slurm: an array job whose tasks do slices of the runs.
#pragma once

#include <CLI/CLI.hpp>

#include <cstddef>
#include <filesystem>
#include <string>

namespace kvpress {

struct SlurmOptions {
  bool wanted = false;
  int tasks = 8;
  std::string arguments;  ///< for sbatch, as they are

  void add_to(CLI::App& command);
};

/// Writes job.sh into the sweep's folder and gives it to sbatch. Throws Error with what sbatch said when it refuses;
/// the script stays, to be submitted by hand.
void submit_to_slurm(const SlurmOptions& options, std::size_t n_runs, const std::filesystem::path& folder);

}  // namespace kvpress
