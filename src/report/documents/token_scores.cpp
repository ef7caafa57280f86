#include "report/documents/token_scores.h"

#include <fmt/format.h>

#include <cmath>

#include "report/documents/csv.h"
#include "report/documents/json.h"

namespace kvpress {

std::string token_scores_csv(const TokenScores& scores, const std::vector<std::string>& tokens) {
  std::string csv = "layer,kv_head,position,token,score\n";
  for (std::int64_t i = 0; i < std::ssize(scores.heads); ++i) {
    const std::vector<float>& row = scores.heads[i];
    for (std::size_t t = 0; t < row.size(); ++t) {
      if (std::isnan(row[t])) continue;
      csv +=
          fmt::format("{},{},{},{},{}\n", i / scores.n_kv_heads, i % scores.n_kv_heads, t, csv_cell(tokens[t]), row[t]);
    }
  }
  return csv;
}

std::string token_scores_json(const TokenScores& scores, const std::vector<std::string>& tokens) {
  Json layers = Json::array();
  for (std::int64_t i = 0; i < std::ssize(scores.heads); ++i) {
    if (i % scores.n_kv_heads == 0) layers.push_back(Json::array());
    Json row = Json::array();
    for (const float it : scores.heads[i]) row.push_back(std::isnan(it) ? Json() : Json(it));
    layers.back().push_back(std::move(row));
  }
  const Json document = {{"n_tokens", tokens.size()},
                         {"n_kv_heads", scores.n_kv_heads},
                         {"tokens", tokens},
                         {"scores", std::move(layers)}};
  return json_text(document) + "\n";
}

}  // namespace kvpress
