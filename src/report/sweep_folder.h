// The folder of a sweep: its plan, a result folder for each run, and what was made of them.
//
//   plan.json            what is run, with what; written once, first
//   <run>/               result folders (result_folder.h), each there whole or not at all
//   sweep.json, .csv     all runs
//   .lock                held by the processes that work here
//
// Work is never lost: a run is on disk before the next one begins, and what a killed process left half-written is swept
// away when the next one takes over.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "kvpress/base/file_lock.h"
#include "kvpress/report/result_folder.h"

namespace kvpress {

class SweepFolder {
 public:
  enum class Access {
    alone,  ///< the only process here
    slice   ///< one of several, each of which does runs of its own
  };

  /// A new sweep. Throws Error when the folder holds a sweep already, or cannot be made.
  static SweepFolder begin(const std::filesystem::path& path, Json plan);
  /// One that was begun. Throws Error when it holds none, its plan is damaged or of another version of the format, or
  /// another process works here.
  static SweepFolder open(const std::filesystem::path& path, Access access);
  /// The plan alone, of a sweep that others may be at work on.
  static Json read_plan(const std::filesystem::path& path);
  /// For a process that works under another one, which holds the lock and reads the plan.
  static SweepFolder join(const std::filesystem::path& path) { return {path, {}, std::nullopt}; }

  /// As given to begin().
  const Json& plan() const { return plan_; }
  const std::filesystem::path& path() const { return path_; }

  /// metrics.json of a run, if it is there. Throws Error naming the folder when it is damaged.
  std::optional<Json> metrics(const std::string& run) const;
  bool has(const std::string& run) const { return std::filesystem::exists(path_ / run); }
  /// Writes a run's folder. When another process was faster, its folder stays.
  void write(const std::string& run, const std::string& predictions_csv, const Json& metrics, const Json& config,
             const MoreFiles& more = {}) const;
  /// Sweeps away what processes that died under this one left half-written. With none of them at work any more.
  void remove_leftovers() const;

 private:
  SweepFolder(std::filesystem::path path, Json plan, std::optional<FileLock> lock)
      : path_(std::move(path)), plan_(std::move(plan)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  Json plan_;
  std::optional<FileLock> lock_;
};

}  // namespace kvpress
