#include "report/documents/task_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/counted.h"
#include "report/documents/csv.h"
#include "report/documents/text_table.h"

namespace kvpress {
namespace {

std::string csv_row(const std::vector<std::string>& fields) {
  std::vector<std::string> quoted;
  for (const std::string& it : fields) quoted.push_back(csv_cell(it));
  return fmt::format("{}\n", fmt::join(quoted, ","));
}

std::string percent(double share) { return fmt::format("{:.0f}", 100 * share); }

std::vector<std::string> values_of(const std::vector<TaskCell>& cells, std::string TaskCell::*label) {
  std::vector<std::string> values;
  for (const TaskCell& cell : cells) {
    if (std::find(values.begin(), values.end(), cell.*label) == values.end()) values.push_back(cell.*label);
  }
  return values;
}

/// The cells of one run, rows by columns.
std::string grid_text(const TaskSet& set, const std::vector<TaskCell>& cells, bool with_full) {
  const auto rows = values_of(cells, &TaskCell::row);
  const auto columns = values_of(cells, &TaskCell::column);
  std::vector<std::vector<std::string>> table;
  table.push_back({set.column_axis.empty() ? set.row_axis : set.row_axis + " \\ " + set.column_axis});
  for (const std::string& it : columns) table.front().push_back(it);
  for (const std::string& row : rows) {
    table.push_back({row});
    for (const std::string& column : columns) {
      const auto cell = std::find_if(cells.begin(), cells.end(),
                                     [&](const TaskCell& it) { return it.row == row && it.column == column; });
      table.back().push_back(cell == cells.end() ? "" : TaskReport::cell_text(*cell, with_full));
    }
  }
  return aligned(table);
}

std::vector<std::string> summary_row(const TaskOutcome& outcome) {
  const TaskSummary sum = summarize(outcome.cells);
  const bool tells = sum.n_telling > 0;
  return {outcome.press,
          fmt::format("{:.2f}", outcome.compression_ratio),
          percent(sum.score),
          percent(sum.full),
          tells ? percent(sum.telling_score) : "-",
          tells ? percent(sum.telling_full) : "-",
          tells ? fmt::format("[{}, {}]", percent(sum.telling_ci95[0]), percent(sum.telling_ci95[1])) : "-",
          fmt::format("{:.1f}", outcome.run.mean_cache_tokens()),
          fmt::format("{:.2f}", outcome.run.mean_cache_bytes() / (1 << 20)),
          fmt::format("{:.2f}", outcome.run.prefill_sec),
          fmt::format("{:.2f}", outcome.run.compress_sec),
          fmt::format("{:.2f}", outcome.run.answer_sec)};
}

Json summary_json(const TaskOutcome& outcome) {
  const TaskSummary sum = summarize(outcome.cells);
  Json json = {{"press", outcome.press},
               {"compression_ratio", outcome.compression_ratio},
               {"n", sum.n},
               {"score", sum.score},
               {"full_score", sum.full},
               {"n_telling", sum.n_telling}};
  if (sum.n_telling > 0) {
    json["telling_score"] = sum.telling_score;
    json["telling_full_score"] = sum.telling_full;
    json["telling_score_ci95"] = sum.telling_ci95;
  }
  json["cache_tokens"] = outcome.run.mean_cache_tokens();
  json["cache_bytes"] = outcome.run.mean_cache_bytes();
  json["prefill_sec"] = outcome.run.prefill_sec;
  json["compress_sec"] = outcome.run.compress_sec;
  json["answer_sec"] = outcome.run.answer_sec;
  return json;
}

}  // namespace

std::string TaskReport::cell_text(const TaskCell& cell, bool with_full) {
  const std::string text =
      with_full ? fmt::format("{}|{}", percent(cell.score), percent(cell.full)) : percent(cell.score);
  return cell.says_nothing ? fmt::format("({})", text) : text;
}

std::string task_text(const TaskReport& report) {
  const TaskSet& set = report.set;
  std::string text = fmt::format("{}: {}, model {}, {}; score: {}\n\n", set.name,
                                 counted(set.samples.size(), "question"), report.about["model"].get<std::string>(),
                                 report.about["dtype"].get<std::string>(), report.scorer.summary);
  std::vector<std::vector<std::string>> table = {{"press", "ratio", "score", "full", "informative", "full", "95 %",
                                                  "cache tokens", "cache MiB", "prefill s", "press s", "answer s"}};
  table.push_back(summary_row(report.full));
  for (const TaskOutcome& it : report.outcomes) table.push_back(summary_row(it));
  text += aligned(table);
  text += fmt::format("\nfull cache, in %\n{}", grid_text(set, report.full.cells, false));
  for (const TaskOutcome& it : report.outcomes) {
    text += fmt::format("\n{} {:.2f}, in %: score|full cache\n{}", it.press, it.compression_ratio,
                        grid_text(set, it.cells, true));
  }
  const bool any = std::any_of(report.full.cells.begin(), report.full.cells.end(),
                               [](const TaskCell& it) { return it.says_nothing; });
  if (any) {
    text += fmt::format(
        "\n(...): not informative, because the score of the full cache is not clearly above the floor of {} %{}; "
        "\"informative\" is the score over the other cells.\n",
        percent(report.scorer.floor),
        report.full.cells.front().chance > report.scorer.floor ? ", or above chance" : "");
  }
  return text;
}

std::string task_csv(const TaskReport& report) {
  const auto named = [](const std::string& axis, const char* otherwise) { return axis.empty() ? otherwise : axis; };
  std::string csv =
      csv_row({"press", "compression_ratio", named(report.set.row_axis, "row"), named(report.set.column_axis, "column"),
               "n", "score", "full_score", "chance", "says_nothing"});
  const auto add = [&](const TaskOutcome& outcome) {
    for (const TaskCell& it : outcome.cells) {
      csv += csv_row({outcome.press, fmt::format("{}", outcome.compression_ratio), it.row, it.column,
                      std::to_string(it.n), fmt::format("{}", it.score), fmt::format("{}", it.full),
                      fmt::format("{}", it.chance), it.says_nothing ? "true" : "false"});
    }
  };
  add(report.full);
  for (const TaskOutcome& it : report.outcomes) add(it);
  return csv;
}

std::string task_json(const TaskReport& report) {
  Json json = report.about;
  json["scorer"] = report.scorer.name;
  json["floor"] = report.scorer.floor;
  const auto described = [&](const TaskOutcome& outcome) {
    Json run = summary_json(outcome);
    run["cells"] = Json::array();
    for (const TaskCell& it : outcome.cells) {
      Json cell = {{report.set.row_axis, it.row}};
      if (!report.set.column_axis.empty()) cell[report.set.column_axis] = it.column;
      cell.update({{"n", it.n},
                   {"score", it.score},
                   {"full_score", it.full},
                   {"chance", it.chance},
                   {"says_nothing", it.says_nothing}});
      run["cells"].push_back(std::move(cell));
    }
    return run;
  };
  json["baseline"] = described(report.full);
  json["runs"] = Json::array();
  for (const TaskOutcome& it : report.outcomes) json["runs"].push_back(described(it));
  return json_text(json, 2) + "\n";
}

std::string task_predictions_csv(const TaskReport& report, const TaskOutcome& outcome) {
  std::vector<std::string> names = {"task", "context_length"};
  const bool grid = !report.set.column_axis.empty();
  if (grid) names.insert(names.end(), {report.set.row_axis, report.set.column_axis});
  names.insert(names.end(), {"question", "answer_prefix", "answer", "predicted_answer", "score", "full_score",
                             "max_new_tokens", "compression_ratio", "cache_tokens"});
  std::string csv = csv_row(names);
  for (std::size_t i = 0; i < report.set.samples.size(); ++i) {
    const TaskSample& sample = report.set.samples[i];
    const TaskAnswer& answer = outcome.run.answers[i];
    std::vector<std::string> row = {sample.task, std::to_string(answer.context_tokens)};
    if (grid) row.insert(row.end(), {sample.row, sample.column});
    row.insert(row.end(), {sample.question, sample.answer_prefix, json_text(Json(sample.answers)), answer.text,
                           fmt::format("{}", outcome.scores[i]), fmt::format("{}", report.full.scores[i]),
                           std::to_string(sample.max_new_tokens), fmt::format("{}", outcome.compression_ratio),
                           fmt::format("{}", answer.cache_tokens)});
    csv += csv_row(row);
  }
  return csv;
}

Json task_config(const TaskReport& report, const TaskOutcome& outcome) {
  Json config = {{"dataset", report.set.name},
                 {"model", report.about["model"]},
                 {"press_name", outcome.press},
                 {"compression_ratio", outcome.compression_ratio}};
  for (const auto& [key, value] : report.about.items()) {
    if (key != "model" && key != "task") config[key] = value;
  }
  return config;
}

}  // namespace kvpress
