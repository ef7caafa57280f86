#include "report/documents/task_report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/counted.h"
#include "kvpress/eval/compare.h"
#include "kvpress/eval/per_text.h"
#include "report/documents/csv.h"
#include "report/documents/ranking.h"
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

/// With `measured`, what was evicted stands beside the ratio asked for.
std::vector<std::string> summary_row(const TaskOutcome& outcome, bool measured) {
  const TaskSummary sum = summarize(outcome.cells);
  const bool tells = sum.n_telling > 0;
  std::vector<std::string> row = {
      outcome.press,
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
  if (measured) row.insert(row.begin() + 2, fmt::format("{:.2f}", outcome.run.evicted_share()));
  return row;
}

/// How much more of the answers of each run are right than of the best that evicted nearly the same share, question by
/// question.
std::string paired_scores(const TaskReport& report) {
  std::vector<double> shares;
  for (const TaskOutcome& it : report.outcomes) shares.push_back(it.run.evicted_share());
  const auto mean_of = [](const TaskOutcome& it) { return over_texts(it.scores).mean; };
  std::vector<std::vector<std::string>> rows = {{"press", "evicted", "against", "score"}};
  for (const auto& indices : near_shares(shares)) {
    const TaskOutcome* best = nullptr;
    for (const std::size_t i : indices) {
      if (best == nullptr || mean_of(report.outcomes[i]) > mean_of(*best)) best = &report.outcomes[i];
    }
    bool first = true;
    for (const std::size_t i : indices) {
      const TaskOutcome& it = report.outcomes[i];
      if (&it == best) continue;
      std::vector<double> differences;
      for (std::size_t k = 0; k < it.scores.size(); ++k) differences.push_back(it.scores[k] - best->scores[k]);
      const OverTexts over = over_texts(differences);
      const bool has_interval = differences.size() > 1;
      if (first && rows.size() > 1) rows.emplace_back();
      first = false;
      rows.push_back(
          {it.press, fmt::format("{:.2f}", it.run.evicted_share()), best->press,
           fmt::format("{:+.0f}{}{}", 100 * over.mean,
                       has_interval ? fmt::format(" [{:+.0f}, {:+.0f}]", 100 * over.ci95[0], 100 * over.ci95[1]) : "",
                       has_interval && PairedDifference::tied(over) ? ", tied" : "")});
    }
  }
  if (rows.size() == 1) return "";
  return fmt::format(
      "\nDifferences in % of runs that evicted the same share (within {:g}), paired over {}, with 95 % intervals:\n{}",
      kSameShare, counted(report.set.samples.size(), "question"), aligned(rows));
}

Json summary_json(const TaskOutcome& outcome) {
  const TaskSummary sum = summarize(outcome.cells);
  Json json = {{"press", outcome.press},
               {"compression_ratio", outcome.compression_ratio},
               {"evicted_share", outcome.run.evicted_share()},
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
  const bool measured = std::any_of(report.outcomes.begin(), report.outcomes.end(), [](const TaskOutcome& it) {
    return differs(it.compression_ratio, it.run.evicted_share());
  });
  if (measured) table.front().insert(table.front().begin() + 2, "evicted");
  table.push_back(summary_row(report.full, measured));
  for (const TaskOutcome& it : report.outcomes) table.push_back(summary_row(it, measured));
  text += aligned(table) + paired_scores(report);
  text += fmt::format("\nfull cache, in %\n{}", grid_text(set, report.full.cells, false));
  for (const TaskOutcome& it : report.outcomes) {
    text +=
        fmt::format("\n{}, in %: score|full cache\n{}",
                    run_text(it.press, it.compression_ratio, it.run.evicted_share()), grid_text(set, it.cells, true));
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
               "n", "score", "full_score", "chance", "says_nothing", "evicted_share"});
  const auto add = [&](const TaskOutcome& outcome) {
    for (const TaskCell& it : outcome.cells) {
      csv +=
          csv_row({outcome.press, fmt::format("{}", outcome.compression_ratio), it.row, it.column, std::to_string(it.n),
                   fmt::format("{}", it.score), fmt::format("{}", it.full), fmt::format("{}", it.chance),
                   it.says_nothing ? "true" : "false", fmt::format("{}", outcome.run.evicted_share())});
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
                 {"compression_ratio", outcome.compression_ratio},
                 {"evicted_share", outcome.run.evicted_share()}};
  for (const auto& [key, value] : report.about.items()) {
    if (key != "model" && key != "task") config[key] = value;
  }
  return config;
}

}  // namespace kvpress
