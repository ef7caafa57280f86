#include "report/documents/result_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <system_error>

#include "base/file.h"
#include "base/hash.h"
#include "kvpress/base/error.h"
#include "report/documents/csv.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

/// Three such parts, a ratio and what joins them are below the 255 bytes that file systems allow.
constexpr std::size_t kLongestPart = 72;

/// The name if it is short enough; else its beginning and a hash of all of it, so that different names stay different.
std::string shortened(const std::string& name) {
  if (name.size() <= kLongestPart) return name;
  constexpr std::size_t kHashDigits = 8;
  std::size_t end = kLongestPart - kHashDigits - 1;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xc0u) == 0x80u) --end;  // not inside a character
  return fmt::format("{}-{:08x}", name.substr(0, end), hash_bytes(name) & 0xffffffffu);
}

std::string part_of_name(std::string name) {
  // A pattern of files would be one again to whoever types the folder's name.
  std::replace_if(
      name.begin(), name.end(), [](char it) { return it == '*' || it == '?' || it == '['; }, '_');
  for (std::size_t at = name.find('/'); at != std::string::npos; at = name.find('/', at)) name.replace(at, 1, "--");
  return shortened(name);
}

/// Renames a folder to a name that must not exist yet; false when it does.
bool rename_to_new(const fs::path& from, const fs::path& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno == EEXIST || errno == ENOTEMPTY) return false;
  // Some file systems do not know the flag; a plain rename does not replace a folder that holds anything.
  if (errno == EINVAL && !fs::exists(to) && ::rename(from.c_str(), to.c_str()) == 0) return true;
  if (errno == EEXIST || errno == ENOTEMPTY || fs::exists(to)) return false;
  fail("{}: cannot be created: {}", to.string(), errno_text());
}

}  // namespace

std::string result_folder_name(const std::string& dataset, const std::string& model, const std::string& press,
                               double compression_ratio) {
  // Two places, as kvpress has it, unless they would make one name of two ratios.
  std::string ratio = fmt::format("{:.2f}", compression_ratio);
  if (std::stod(ratio) != compression_ratio) ratio = fmt::format("{:.4g}", compression_ratio);
  return fmt::format("{}__{}__{}__{}", part_of_name(dataset), part_of_name(model), part_of_name(press), ratio);
}

namespace {

/// A result folder under a hidden name, which goes away unless it is renamed.
class HiddenFolder {
 public:
  HiddenFolder(const fs::path& output_dir, const MoreFiles& files) {
    std::error_code error;
    fs::create_directories(output_dir, error);
    if (error) fail("{}: cannot be created: {}", output_dir.string(), error.message());
    path_ = make_temporary_folder(output_dir);
    try {
      for (const auto& [file, content] : files) write_file(path_ / file, content);
    } catch (...) {
      fs::remove_all(path_, error);
      throw;
    }
  }
  HiddenFolder(const HiddenFolder&) = delete;
  HiddenFolder& operator=(const HiddenFolder&) = delete;
  ~HiddenFolder() {
    std::error_code error;
    fs::remove_all(path_, error);  // nothing is there once it has been renamed
  }

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

MoreFiles result_files(const std::string& predictions, const Json& metrics, const Json& config, MoreFiles more) {
  more["predictions.csv"] = predictions;
  more["metrics.json"] = json_text(metrics, 2) + "\n";
  if (metrics.contains("per_text")) more["per_text.csv"] = per_text_csv(metrics);
  more["config.yaml"] = to_yaml(config);
  return more;
}

}  // namespace

fs::path write_folder(const fs::path& output_dir, const std::string& name, const MoreFiles& files) {
  const HiddenFolder hidden(output_dir, files);
  fs::path target = output_dir / name;
  if (rename_to_new(hidden.path(), target)) return target;
  for (int i = 1;; ++i) {
    const fs::path sub = target / std::to_string(i);
    if (rename_to_new(hidden.path(), sub)) return sub;
  }
}

fs::path write_result_folder(const fs::path& output_dir, const std::string& name, const std::string& predictions,
                             const Json& metrics, const Json& config, const MoreFiles& more) {
  return write_folder(output_dir, name, result_files(predictions, metrics, config, more));
}

bool write_new_result_folder(const fs::path& output_dir, const std::string& name, const std::string& predictions,
                             const Json& metrics, const Json& config, const MoreFiles& more) {
  const HiddenFolder hidden(output_dir, result_files(predictions, metrics, config, more));
  return rename_to_new(hidden.path(), output_dir / name);
}

std::string predictions_csv(const RunResult& run, const RunResult& full) {
  std::string csv =
      "text,first_token,n_tokens,n_scored_tokens,mean_nll,perplexity,delta_nll,cache_tokens,cache_bytes\n";
  for (const SegmentResult& it : run.segments) {
    const auto first = static_cast<std::ptrdiff_t>(it.first_scored);
    const auto last = first + static_cast<std::ptrdiff_t>(it.n_scored);
    const double n = static_cast<double>(it.n_scored);
    const double nll = std::accumulate(run.nll.begin() + first, run.nll.begin() + last, 0.0) / n;
    const double full_nll = std::accumulate(full.nll.begin() + first, full.nll.begin() + last, 0.0) / n;
    // A last segment of one token has nothing to score: its means stay empty.
    const std::string means = it.n_scored == 0 ? ",," : fmt::format("{},{},{}", nll, std::exp(nll), nll - full_nll);
    csv += fmt::format("{},{},{},{},{},{},{}\n", it.text, it.first_token, it.n_tokens, it.n_scored, means,
                       it.cache_tokens, it.cache_bytes);
  }
  return csv;
}

std::string per_text_csv(const Json& metrics) {
  constexpr const char* kMeasures[] = {"perplexity", "mean_nll", "delta_nll", "kl_full"};
  std::string csv = "text,name,n_scored_tokens,perplexity,mean_nll,delta_nll,kl_full\n";
  for (const Json& it : metrics["per_text"]) {
    csv += fmt::format("{},{},{}", it["text"].dump(), csv_cell(it["name"].get<std::string>()),
                       it["n_scored_tokens"].dump());
    for (const char* measure : kMeasures) csv += fmt::format(",{}", it[measure].dump());
    csv += '\n';
  }
  const Json& over = metrics["mean_over_texts"];
  const auto row = [&](const char* name, auto&& value) {
    csv += fmt::format("{},,", name);
    for (const char* measure : kMeasures) csv += fmt::format(",{}", value(over[measure]).dump());
    csv += '\n';
  };
  row("mean", [](const Json& it) { return it["mean"]; });
  row("ci95_low", [](const Json& it) { return it["ci95"][0]; });
  row("ci95_high", [](const Json& it) { return it["ci95"][1]; });
  row("sd", [](const Json& it) { return it["sd"]; });
  return csv;
}

std::string to_yaml(const Json& object) {
  std::string yaml;
  // A JSON scalar is a YAML scalar too, and a JSON list a YAML list: dump() is right for every value.
  for (const auto& [key, value] : object.items()) yaml += fmt::format("{}: {}\n", key, json_text(value));
  return yaml;
}

}  // namespace kvpress
