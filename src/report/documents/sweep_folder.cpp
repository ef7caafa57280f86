#include "report/documents/sweep_folder.h"

#include <fmt/format.h>

#include <system_error>

#include "base/file.h"
#include "base/hash.h"
#include "base/json_text.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

constexpr int kFormat = 1;

FileLock take_lock(const fs::path& path, FileLock::Mode mode) {
  auto lock = FileLock::try_take(path / ".lock", mode);
  if (!lock) {
    fail("{}: another process is using this folder; wait until it ends, or use another folder", path.string());
  }
  return std::move(*lock);
}

std::string checksum_of(const Json& plan) { return fmt::format("{:016x}", hash_bytes(json_text(plan))); }

Json parse(const fs::path& path, const std::string& remedy) {
  const std::string text = read_file(path);
  const Json json = nests_too_deep(text) ? Json() : Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) fail("{}: is damaged: not a JSON object; {}", path.string(), remedy);
  return json;
}

}  // namespace

Json SweepFolder::read_plan(const fs::path& path) {
  if (!fs::is_directory(path)) fail("{}: is not a folder; start a new sweep with -o", path.string());
  const fs::path file = path / "plan.json";
  if (!fs::exists(file)) fail("{}: contains no sweep (plan.json is missing); start a new sweep with -o", path.string());
  const std::string anew = "start a new sweep in another folder";
  const Json document = parse(file, anew);
  if (document.value("format", 0) != kFormat) {
    fail("{}: was written by another version of kvpress (format {}, not {}); {}", file.string(),
         document.value("format", 0), kFormat, anew);
  }
  if (!document.contains("plan") || document.value("checksum", "") != checksum_of(document["plan"])) {
    fail("{}: was changed after the sweep was started and no longer matches its runs; {}", file.string(), anew);
  }
  return document["plan"];
}

SweepFolder SweepFolder::begin(const fs::path& path, Json plan) {
  make_output_folder(path);
  FileLock lock = take_lock(path, FileLock::Mode::alone);
  if (fs::exists(path / "plan.json")) {
    fail("{}: already contains a sweep; resume it with {} {}, or use another folder", path.string(), setting("resume"),
         path.string());
  }
  const Json document = {{"format", kFormat}, {"plan", plan}, {"checksum", checksum_of(plan)}};
  SweepFolder folder(path, std::move(plan), std::move(lock));
  folder.remove_leftovers();
  write_file(path / "plan.json", json_text(document, 2) + "\n");
  return folder;
}

SweepFolder SweepFolder::open(const fs::path& path, Access access) {
  Json plan = read_plan(path);
  const bool alone = access == Access::alone;
  FileLock lock = take_lock(path, alone ? FileLock::Mode::alone : FileLock::Mode::together);
  SweepFolder folder(path, std::move(plan), std::move(lock));
  if (alone) folder.remove_leftovers();
  return folder;
}

void SweepFolder::remove_leftovers() const {
  std::error_code error;
  std::vector<fs::path> left;
  for (const auto& it : fs::directory_iterator(path_, error)) {
    const std::string name = it.path().filename().string();
    const auto at = name.rfind(".tmp");
    const bool half = at != std::string::npos && name.find_first_not_of("0123456789", at + 4) == std::string::npos;
    if (half || name.starts_with(".rank")) left.push_back(it.path());
  }
  for (const fs::path& it : left) fs::remove_all(it, error);
}

std::optional<Json> SweepFolder::metrics(const std::string& run) const {
  const fs::path folder = path_ / run;
  if (!fs::exists(folder)) return std::nullopt;
  const std::string remedy = fmt::format("delete {} to repeat this run", folder.string());
  const fs::path file = folder / "metrics.json";
  if (!fs::exists(file)) fail("{}: is missing; {}", file.string(), remedy);
  Json metrics = parse(file, remedy);
  for (const char* key : {"press", "compression_ratio", "perplexity", "runtime_sec"}) {
    if (!metrics.contains(key))
      fail("{}: is damaged or from another version: it has no {}; {}", file.string(), key, remedy);
  }
  return metrics;
}

void SweepFolder::write(const std::string& run, const std::string& predictions, const Json& metrics, const Json& config,
                        const MoreFiles& more) const {
  write_new_result_folder(path_, run, predictions, metrics, config, more);
}

}  // namespace kvpress
