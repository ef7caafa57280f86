// Finds result folders and reads them. kvpress's evaluation (evaluation/evaluate.py) names them
// <data set>[__<data dir>]__<model>__<press>__<ratio>[__<more>], as ours are.
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <set>

#include "base/counted.h"
#include "base/file.h"
#include "base/json_text.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/log.h"
#include "report/documents/csv.h"
#include "report/documents/run_rows.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

/// Deeper than any real document; what lies below is left out.
constexpr int kDeepest = 16;

/// Python's json writes NaN and Infinity, which JSON does not have: they become null. Counts them.
std::string without_nan(const std::string& text, int& n_replaced) {
  std::string result;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (in_string) {
      if (text[i] == '\\' && i + 1 < text.size()) {
        result += text[i++];
      } else if (text[i] == '"') {
        in_string = false;
      }
      result += text[i];
      continue;
    }
    in_string = text[i] == '"';
    const std::string_view rest = std::string_view(text).substr(i);
    bool replaced = false;
    for (const std::string_view word : {"NaN", "-Infinity", "Infinity"}) {
      if (!rest.starts_with(word)) continue;
      result += "null";
      ++n_replaced;
      i += word.size() - 1;
      replaced = true;
      break;
    }
    if (!replaced) result += text[i];
  }
  return result;
}

/// `tells`: whether numbers that are left out get a line; else the nulls in their places do.
Json read_json(const fs::path& path, bool tells = true) {
  const std::string text = read_file(path);
  if (nests_too_deep(text)) fail("{} is nested too deeply", path.filename().string());
  int n_replaced = 0;
  try {
    Json json = Json::parse(without_nan(text, n_replaced));
    if (n_replaced > 0 && tells) {
      log_warning(fmt::format("{}: {} in {} left out: not finite", path.parent_path().string(),
                              counted(n_replaced, "number"), path.filename().string()));
    }
    return json;
  } catch (const Json::exception&) {
    fail("{} is not valid JSON", path.filename().string());
  }
}

/// A config.yaml is a page of settings: more bytes or settings are none, and would take their time.
constexpr std::size_t kMostYamlBytes = std::size_t{1} << 18;
constexpr int kMostYamlNodes = 20'000;

/// Scalars as JSON has them where they are numbers or booleans, else as texts; nested names joined by dots. `n_nodes`
/// counts what was looked at: an alias can stand for the same part any number of times.
void flatten_yaml(const YAML::Node& node, const std::string& name, int depth, int& n_nodes, Json& flat) {
  const auto count = [&n_nodes] {
    if (++n_nodes % 256 == 0) check_interrupt();
    if (n_nodes > kMostYamlNodes)
      fail("config.yaml has more than {} settings, or aliases that stand for as many", kMostYamlNodes);
  };
  count();
  if (node.IsScalar()) {
    // A quoted scalar is a text, whatever it looks like.
    const bool is_text = node.Tag() == "!" || nests_too_deep(node.Scalar());
    const Json parsed = is_text ? Json() : Json::parse(node.Scalar(), nullptr, false);
    flat[name] = parsed.is_number() || parsed.is_boolean() ? parsed : Json(node.Scalar());
  } else if (node.IsMap() && depth < kDeepest) {
    for (const auto& it : node) {
      if (!it.first.IsScalar()) continue;
      flatten_yaml(it.second, name.empty() ? it.first.Scalar() : name + "." + it.first.Scalar(), depth + 1, n_nodes,
                   flat);
    }
  } else if (node.IsSequence() && depth < kDeepest) {
    std::string list;
    for (const auto& it : node) {
      count();
      list += (list.empty() ? "" : ", ") + (it.IsScalar() ? it.Scalar() : "...");
    }
    flat[name] = list;
  }
}

Json read_yaml(const fs::path& path) {
  try {
    const std::uintmax_t size = fs::file_size(path);
    if (size > kMostYamlBytes)
      fail("{} has {} bytes; at most {} are read", path.filename().string(), size, kMostYamlBytes);
    const YAML::Node document = YAML::Load(read_file(path));
    if (!document.IsMap()) fail("{} is not a list of settings", path.filename().string());
    Json flat = Json::object();
    int n_nodes = 0;
    flatten_yaml(document, "", 0, n_nodes, flat);
    return flat;
  } catch (const YAML::Exception&) {
    fail("{} is not valid YAML", path.filename().string());
  }
}

/// Sums of the numbers by their names; the elements of a list count under its name, so that they average.
using Sums = std::map<std::string, std::pair<double, std::int64_t>>;

void add_numbers(const Json& value, const std::string& name, int depth, Sums& sums,
                 std::vector<std::string>& left_out) {
  if (depth > kDeepest) return;
  if (value.is_number()) {
    if (!(std::abs(value.get<double>()) < kLargestNumber)) {
      left_out.push_back(name);
      return;
    }
    auto& [sum, n] = sums[name];
    sum += value.get<double>();
    ++n;
  } else if (value.is_object()) {
    for (const auto& [key, it] : value.items()) {
      add_numbers(it, name.empty() ? key : name + "." + key, depth + 1, sums, left_out);
    }
  } else if (value.is_array()) {
    for (const Json& it : value) add_numbers(it, name, depth + 1, sums, left_out);
  }
}

/// kvpress's metrics: what a benchmark scored, by task. Where several tasks have the same score, its mean is added.
std::map<std::string, double> free_numbers(const Json& metrics, std::vector<std::string>& left_out) {
  Sums sums;
  add_numbers(metrics, "", 0, sums, left_out);
  Sums means;
  std::map<std::string, double> numbers;
  for (const auto& [name, sum] : sums) {
    const double mean = sum.first / static_cast<double>(sum.second);
    numbers[name] = mean;
    const auto dot = name.rfind('.');
    if (dot == std::string::npos) continue;
    auto& [total, n] = means["mean." + name.substr(dot + 1)];
    total += mean;
    ++n;
  }
  for (const auto& [name, sum] : means) {
    if (sum.second > 1) numbers.emplace(name, sum.first / static_cast<double>(sum.second));
  }
  return numbers;
}

std::vector<std::string> split_name(const std::string& name) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  for (std::size_t at = name.find("__"); at != std::string::npos; at = name.find("__", from)) {
    parts.push_back(name.substr(from, at - from));
    from = at + 2;
  }
  parts.push_back(name.substr(from));
  return parts;
}

std::optional<double> as_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

/// What the folder's name tells where there is no config.yaml; a sub-folder 1, 2, ... is called as its parent.
Json settings_of_name(const fs::path& folder) {
  std::string name = folder.filename().string();
  if (name.find("__") == std::string::npos) name = folder.parent_path().filename().string();
  const std::vector<std::string> parts = split_name(name);
  for (std::size_t i = parts.size(); i-- > 3;) {
    const auto ratio = as_number(parts[i]);
    if (!ratio) continue;
    Json settings = {{"dataset", parts[0]}, {"model", parts[i - 2]}, {"press_name", parts[i - 1]}};
    settings["compression_ratio"] = *ratio;
    if (i > 3) settings["data_dir"] = parts[1];
    return settings;
  }
  fail("config.yaml is missing, and the folder's name is not <data set>__<model>__<press>__<ratio>");
}

std::string text_or_empty(const Json& config, const char* key) {
  const auto at = config.find(key);
  if (at == config.end() || at->is_null()) return "";
  return at->is_string() ? at->get<std::string>() : at->dump();
}

/// A press that is not set by a ratio tells in predictions.csv which one came out.
std::optional<double> measured_ratio(const fs::path& folder) {
  const fs::path path = folder / "predictions.csv";
  if (!fs::exists(path)) return {};
  return csv_column_mean(read_file(path), "compression_ratio");
}

RunRow kvpress_row(const fs::path& folder, const Json& metrics, const Json& config) {
  RunRow row;
  row.press = text_or_empty(config, "press_name");
  row.model = text_or_empty(config, "model");
  row.dataset = text_or_empty(config, "dataset");
  if (row.press.empty() || row.model.empty() || row.dataset.empty()) {
    fail("config.yaml has no press_name, model or dataset");
  }
  if (const std::string part = text_or_empty(config, "data_dir"); !part.empty() && part != "null") {
    row.dataset += "/" + part;
  }
  row.numbers = free_numbers(metrics, row.left_out);
  for (const auto& [key, value] : config.items()) {
    const std::string text = text_or_empty(config, key.c_str());
    if (!text.empty() && text != "null" && text != "~") row.settings[key] = text;
  }
  const bool by_ratio = row.settings.count("compression_ratio") != 0 && row.setting("threshold").empty() &&
                        row.setting("head_compression_ratio").empty() &&
                        row.setting("key_channel_compression_ratio").empty();
  std::optional<double> ratio;
  if (!by_ratio) ratio = measured_ratio(folder);
  if (!ratio) ratio = as_number(row.setting("compression_ratio"));
  if (row.is_full_cache()) ratio = 0.0;
  if (!ratio || *ratio < 0 || *ratio > 1) {
    fail("no compression ratio in [0, 1], neither in config.yaml nor in predictions.csv");
  }
  row.compression_ratio = *ratio;
  if (const auto evicted = as_number(row.setting("evicted_share")); evicted && *evicted >= 0 && *evicted <= 1) {
    row.evicted_share = *evicted;
  }
  if (row.numbers.empty()) fail("metrics.json contains no number");
  return row;
}

RunRow read_folder(const fs::path& folder) {
  if (!fs::exists(folder / "metrics.json")) fail("metrics.json is missing");
  const Json metrics = read_json(folder / "metrics.json");
  const bool has_config = fs::exists(folder / "config.yaml");
  const Json config = has_config ? read_yaml(folder / "config.yaml") : settings_of_name(folder);
  RunRow row = config.contains("press_name") ? kvpress_row(folder, metrics, config) : run_row(metrics, config);
  row.folder = folder.string();
  for (const std::string& it : row.left_out) {
    log_warning(fmt::format("{}: {} in metrics.json left out: not finite, or too large to show", row.folder, it));
  }
  if (!fs::exists(folder / "timeline.json")) return row;
  try {
    row.timeline = read_timeline(read_json(folder / "timeline.json", false));
  } catch (const Error& error) {  // the run's numbers are worth showing without it
    log_warning(fmt::format("{}: timeline skipped: {}", row.folder, error.what()));
  }
  return row;
}

/// Whether there is anything in it that makes it a result folder, whole or damaged.
bool looks_like_results(const fs::path& folder) {
  std::error_code ignored;
  if (fs::exists(folder / "metrics.json", ignored)) return true;
  return folder.filename().string().find("__") != std::string::npos &&
         (fs::exists(folder / "predictions.csv", ignored) || fs::exists(folder / "config.yaml", ignored));
}

void find_folders(const fs::path& top, std::set<fs::path>& found) {
  if (looks_like_results(top)) found.insert(top);
  std::error_code error;
  fs::recursive_directory_iterator it(top, fs::directory_options::skip_permission_denied, error);
  if (error) fail("{}: cannot be read: {}", top.string(), error.message());
  for (; it != fs::recursive_directory_iterator(); it.increment(error)) {
    check_interrupt();
    if (error) fail("{}: cannot be read: {}", top.string(), error.message());
    std::error_code ignored;
    if (!it->is_directory(ignored)) continue;
    // A hidden folder is one that is still being written.
    if (it->path().filename().string().starts_with(".")) {
      it.disable_recursion_pending();
    } else if (looks_like_results(it->path())) {
      found.insert(it->path());
    }
  }
}

}  // namespace

std::vector<RunRow> read_result_folders(const std::vector<fs::path>& paths, bool may_be_none) {
  std::set<fs::path> folders;
  for (const fs::path& path : paths) {
    if (!fs::is_directory(path)) fail("{}: no such folder; give one that contains result folders", path.string());
    find_folders(path.lexically_normal(), folders);
  }
  std::vector<RunRow> rows;
  for (const fs::path& folder : folders) {
    check_interrupt();
    try {
      rows.push_back(read_folder(folder));
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& error) {
      log_warning(fmt::format("{}: skipped: {}", folder.string(), error.what()));
    }
  }
  measure_evicted(rows);
  if (rows.empty() && !may_be_none) {
    fail("{}: contains no readable result folder; kvpress evaluate and kvpress sweep write them",
         paths.empty() ? std::string(".") : paths.front().string());
  }
  return rows;
}

}  // namespace kvpress
