#include "tasks/task_rows.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/json_text.h"
#include "hub/rows_service.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/formats/text_dataset.h"
#include "tasks/answer_text.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMaxNewTokens = 50;

class Row {
 public:
  Row(const std::string& text, const std::string& source, std::size_t number)
      : where_(fmt::format("{}: row {}", source, number)), json_(try_parse_json(text).value_or(Json())) {
    if (!json_.is_object()) fail("{} is not a JSON object", where_);
  }

  std::string text(const char* name, const std::string& otherwise) const {
    const auto it = json_.find(name);
    if (it == json_.end() || it->is_null()) return otherwise;
    if (!it->is_string()) fail("{}: \"{}\" is not a string", where_, name);
    return it->get<std::string>();
  }
  std::string text(const char* name) const {
    if (!json_.contains(name)) fail("{} has no column \"{}\"", where_, name);
    return text(name, "");
  }
  /// A string, a number, or a list of them.
  std::vector<std::string> texts(const char* name) const {
    const auto it = json_.find(name);
    std::vector<std::string> result;
    if (it == json_.end() || it->is_null()) return result;
    for (const Json& entry : it->is_array() ? *it : Json::array({*it})) {
      if (entry.is_object()) fail("{}: \"{}\" is neither a string nor a number nor a list of these", where_, name);
      result.push_back(entry.is_string() ? entry.get<std::string>() : entry.dump());
    }
    return result;
  }
  std::int64_t number(const char* name, std::int64_t otherwise) const {
    const auto it = json_.find(name);
    if (it == json_.end() || it->is_null()) return otherwise;
    if (!it->is_number_integer() || it->get<std::int64_t>() < 1) {
      fail("{}: \"{}\" is not a number of at least 1", where_, name);
    }
    return it->get<std::int64_t>();
  }
  std::string raw(const char* name) const { return json_.contains(name) ? json_[name].dump() : "null"; }
  const std::string& where() const { return where_; }

 private:
  std::string where_;
  Json json_;
};

}  // namespace

TaskSet read_task_rows(std::span<const std::string> rows, const std::string& name, const std::string& source) {
  if (rows.empty()) fail("{}: contains no row", source);
  TaskSet set;
  set.name = name;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row row(rows[i], source, i + 1);
    TaskSample sample;
    sample.context = row.text("context");
    sample.question = row.text("question", "");
    if (sample.context.empty()) std::swap(sample.context, sample.question);
    if (sample.context.empty()) fail("{}: context and question are both empty", row.where());
    sample.answer_prefix = row.text("answer_prefix", "");
    sample.answers = row.texts("answer");
    if (sample.answers.empty()) sample.answers = row.texts("answers");
    sample.answer_json = row.raw("answer");
    sample.max_new_tokens = row.number("max_new_tokens", kMaxNewTokens);
    sample.task = row.text("task", name);
    sample.all_classes = row.texts("all_classes");
    sample.needle = row.text("needle", "");
    if (sample.answers.empty() && sample.needle.empty()) fail("{} has no \"answer\"", row.where());
    const auto lengths = row.texts("length");
    if (!lengths.empty()) sample.length = lengths.front();
    sample.difficulty = row.text("difficulty", "");
    sample.row = sample.task;
    set.samples.push_back(std::move(sample));
  }
  return set;
}

std::vector<std::string> read_row_lines(const std::string& path, std::int64_t max_rows) {
  std::vector<std::string> rows;
  for (std::string& line : split_at(read_text_file(path), '\n')) {
    if (max_rows > 0 && static_cast<std::int64_t>(rows.size()) == max_rows) break;
    if (line.find_first_not_of(" \t\r") != std::string::npos) rows.push_back(std::move(line));
  }
  return rows;
}

HubRows read_hub_rows(const std::string& dataset, const std::string& config, const std::string& split,
                      std::int64_t max_rows) {
  RowsReader reader(hub_settings(),
                    {.dataset = dataset, .config = config, .split = split, .column = "", .max_rows = max_rows});
  HubRows result;
  result.name = fmt::format("hf:{}/{}/{}", dataset, reader.config(), reader.split());
  while (std::optional<std::string> row = reader.next()) {
    check_interrupt();
    result.rows.push_back(std::move(*row));
  }
  return result;
}

std::string hub_dataset_of(std::string_view scorer) {
  constexpr std::pair<std::string_view, const char*> kKnown[] = {
      {"loogle", "simonjegou/loogle"},
      {"ruler", "simonjegou/ruler"},
      {"infinitebench", "MaxJeblick/InfiniteBench"},
      {"longbench", "Xnhyacinth/LongBench"},
      {"longbench-e", "Xnhyacinth/LongBench"},
      {"longbench-v2", "simonjegou/LongBench-v2"},
      {"needle_in_haystack", "alessiodevoto/paul_graham_essays"},
      {"aime25", "alessiodevoto/aime25"},
      {"math500", "alessiodevoto/math500"}};
  for (const auto& [name, dataset] : kKnown) {
    if (name == scorer) return dataset;
  }
  return "";
}

TaskSet insert_needle(const TaskSample& row, const TaskGrid& grid, const Tokenizer& tokenizer) {
  constexpr std::int64_t kLeftFree = 150;
  if (row.needle.empty()) fail_usage("task {}: the first row has no column \"needle\"", row.task);
  const std::vector<std::int32_t> needle = tokenizer.encode(row.needle);
  const std::vector<std::int32_t> text = tokenizer.encode(row.context);
  TaskSet set{row.task, "depth", "length", {}};
  for (const std::int64_t length : grid.lengths) {
    const std::int64_t room = length - static_cast<std::int64_t>(needle.size()) - kLeftFree;
    if (room < 1) {
      fail_setting("lengths",
                   "{} has no room for a needle of {} tokens and {} tokens of chat template and question; use a "
                   "greater length",
                   length, needle.size(), kLeftFree);
    }
    const auto n = std::min(static_cast<std::size_t>(room), text.size());
    for (const double depth : grid.depths) {
      std::vector<std::int32_t> ids(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(n));
      const auto at = static_cast<std::ptrdiff_t>(static_cast<double>(n) * depth);
      ids.insert(ids.begin() + at, needle.begin(), needle.end());
      TaskSample sample = row;
      std::string storage;  // a character may be cut in two
      sample.context = fmt::format("This is a very long story book: <book> {} </book>.",
                                   to_valid_utf8(tokenizer.decode(ids), storage));
      sample.row = fmt::format("{:.2f}", depth);
      sample.column = std::to_string(length);
      set.samples.push_back(std::move(sample));
    }
  }
  return set;
}

}  // namespace kvpress
