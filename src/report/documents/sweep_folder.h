// The folder of a sweep: its plan, a result folder for each run, and summaries.
//
//   plan.json            options, program, model and texts; written once, first
//   <run>/               result folders (result_folder.h), each written atomically
//   sweep.json, .csv     all runs
//   .lock                held by the processes that use the folder
//
// A run is on disk before the next one begins. Partial files of a killed process are removed when another process opens
// the folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "base/file_lock.h"
#include "report/documents/result_folder.h"

namespace kvpress {

/// An open sweep folder. Holds its lock.
class SweepFolder {
 public:
  enum class Access {
    alone,  ///< the only process in the folder
    slice   ///< one of several processes with different runs
  };

  /// Starts a new sweep. Throws Error if the folder contains a sweep already or cannot be created.
  static SweepFolder begin(const std::filesystem::path& path, Json plan);
  /// Opens an existing sweep. Throws Error if there is none, if its plan is damaged or of another version of the
  /// format, or if another process uses the folder.
  static SweepFolder open(const std::filesystem::path& path, Access access);
  /// Reads only the plan, without a lock.
  static Json read_plan(const std::filesystem::path& path);
  /// For a worker of another process that holds the lock and has read the plan.
  static SweepFolder join(const std::filesystem::path& path) { return {path, {}, std::nullopt}; }

  /// As given to begin().
  const Json& plan() const { return plan_; }
  const std::filesystem::path& path() const { return path_; }

  /// metrics.json of a run; empty if it is missing. Throws Error with the folder if it is damaged.
  std::optional<Json> metrics(const std::string& run) const;
  bool has(const std::string& run) const { return std::filesystem::exists(path_ / run); }
  /// Writes the folder of a run. If it exists already, it is left unchanged.
  void write(const std::string& run, const std::string& predictions_csv, const Json& metrics, const Json& config,
             const MoreFiles& more = {}) const;
  /// Removes partial files of workers that died. No worker may be running.
  void remove_leftovers() const;

 private:
  SweepFolder(std::filesystem::path path, Json plan, std::optional<FileLock> lock)
      : path_(std::move(path)), plan_(std::move(plan)), lock_(std::move(lock)) {}

  std::filesystem::path path_;
  Json plan_;
  std::optional<FileLock> lock_;
};

}  // namespace kvpress
