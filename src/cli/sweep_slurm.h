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

/// Throws UsageError if the path of the sweep's folder cannot stand in a script of Slurm: a line of #SBATCH has no
/// quoting for a newline, and what follows it would be a command.
void check_slurm_folder(const std::filesystem::path& path);

/// Writes job.sh into the sweep's folder and gives it to sbatch. Throws Error with what sbatch said when it refuses;
/// the script stays, to be submitted by hand.
void submit_to_slurm(const SlurmOptions& options, std::size_t n_runs, const std::filesystem::path& folder);

}  // namespace kvpress
