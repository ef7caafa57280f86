#include "cli/sweep_slurm.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>

#include "base/counted.h"
#include "base/file.h"
#include "cli/command_line.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

/// What a command prints, both streams, and whether it succeeded.
std::pair<std::string, bool> output_of(const std::string& command) {
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");  // NOLINT(cert-env33-c): quoted above
  if (pipe == nullptr) fail("{}: cannot be started: {}", command, errno_text());
  std::string output;
  std::array<char, 256> part{};
  while (std::fgets(part.data(), part.size(), pipe) != nullptr) output += part.data();
  const bool done = ::pclose(pipe) == 0;
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return {output, done};
}

std::string script(const std::size_t n_tasks, const fs::path& folder) {
  const std::string program = fs::read_symlink("/proc/self/exe").string();
  return fmt::format(
      "#!/bin/bash\n#SBATCH --job-name=kvpress-sweep\n#SBATCH --array=0-{}\n#SBATCH --output=\"{}\"\n# Each task makes "
      "a slice of the runs. An interrupted task can be submitted again: it makes the missing runs.\nexec {} sweep "
      "--resume {} --slice \"$SLURM_ARRAY_TASK_ID/{}\"\n",
      n_tasks - 1, (folder / "slurm-%a.log").string(), shell_quoted(program), shell_quoted(folder.string()), n_tasks);
}

}  // namespace

void check_slurm_folder(const fs::path& path) {
  for (const char c : fs::absolute(path).string()) {
    if (std::iscntrl(static_cast<unsigned char>(c)) != 0 || c == '"' || c == '\\' || c == '%') {
      fail_usage(
          "--output: the path of the folder cannot stand in a Slurm script; use one without control characters, \", \\ "
          "and %");
    }
  }
}

void SlurmOptions::add_to(CLI::App& command) {
  command.add_flag("--slurm", wanted, "Submit the runs as a Slurm array job and exit; summarize later with --collect");
  command.add_option("--slurm-tasks", tasks, "Number of tasks of the job")->capture_default_str();
  command.add_option("--slurm-arguments", arguments, "Arguments for sbatch, such as '--partition=long --time=2:00:00'");
}

void submit_to_slurm(const SlurmOptions& options, std::size_t n_runs, const fs::path& path) {
  if (options.tasks < 1) fail_usage("--slurm-tasks: {} is too small; at least 1 is needed", options.tasks);
  const fs::path folder = fs::absolute(path);
  const std::size_t n_tasks = std::min<std::size_t>(static_cast<std::size_t>(options.tasks), n_runs);
  const fs::path job = folder / "job.sh";
  write_file(job, script(n_tasks, folder));
  const auto [said, done] = output_of(fmt::format("sbatch {} {}", options.arguments, shell_quoted(job.string())));
  if (!done) fail("sbatch: {}; submit the job by hand: {}", said, job.string());
  fmt::print("{}: {} in {}; when they have finished: kvpress sweep --collect {}\n", said, counted(n_runs, "run"),
             counted(n_tasks, "task"), path.string());
}

}  // namespace kvpress
