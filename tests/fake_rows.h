// A rows service for tests: a few data sets, served as the hub's service serves them, and the ways in which it can
// fail.
#pragma once

#include <nlohmann/json.hpp>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "http_server.h"
#include "hub_environment.h"

namespace kvpress::test {

/// Points HF_DATASETS_SERVER and the caches at itself and a folder of its own as long as it lives.
class FakeRows {
 public:
  FakeRows() : server_([this](const Request& request) { return reply(request); }) {
    environment_.set("HF_DATASETS_SERVER", server_.url());
  }

  static std::string text(std::size_t row) { return " text of row " + std::to_string(row) + " \n"; }

  HttpServer& server() { return server_; }
  const HttpServer& server() const { return server_; }

  /// The rows of Some/texts (default, test), in place of 250 of text().
  std::vector<std::string> texts;
  /// The same as whole rows, JSON objects with equal columns, in place of text, title and year.
  std::vector<std::string> objects;
  std::deque<Reply> next;  ///< given in place of the next answers
  int fail_at_offset = -1;
  std::size_t most_rows = 1000;  ///< more at once are too big
  int truncate_row = -1;
  std::string revision = "one";

 private:
  using Json = nlohmann::json;

  static std::string value_of(const std::string& query, const std::string& name) {
    const auto at = ("&" + query).find("&" + name + "=");
    if (at == std::string::npos) return "";
    const auto begin = at + name.size() + 1;
    return query.substr(begin, query.find('&', begin) - begin);
  }

  Reply splits(const std::string& dataset) const {
    Json splits = Json::array();
    const auto add = [&](const char* config, const char* split) {
      splits.push_back({{"dataset", dataset}, {"config", config}, {"split", split}});
    };
    if (dataset == "Some/many") {
      add("a", "test");
      add("b", "train");
      add("b", "validation");
    } else {
      add("default", "train");
      add("default", "test");
      add("extra", "test");
    }
    return {200, {}, Json{{"splits", splits}, {"pending", Json::array()}, {"failed", Json::array()}}.dump(), {}, {}};
  }

  Json row(std::size_t i) const {
    if (!objects.empty()) return Json::parse(objects[i]);
    return {{"text", texts.empty() ? text(i) : texts[i]}, {"title", "title " + std::to_string(i)}, {"year", 1900 + i}};
  }

  Reply rows(const Request& request) const {
    const auto offset = std::stoul(value_of(request.query, "offset"));
    const auto length = std::stoul(value_of(request.query, "length"));
    if (static_cast<int>(offset) == fail_at_offset) return {500, {}, "", {}, {}};
    if (length > most_rows) {
      return {501, {}, R"({"error": "Rows from parquet row groups are too big to be read: 400.0 MiB"})", {}, {}};
    }
    const std::size_t total = !objects.empty() ? objects.size() : texts.empty() ? 250 : texts.size();
    Json rows = Json::array();
    for (std::size_t i = offset; i < std::min(offset + length, total); ++i) {
      Json cut = Json::array();
      if (static_cast<int>(i) == truncate_row) cut.push_back("text");
      rows.push_back({{"row_idx", i}, {"row", row(i)}, {"truncated_cells", cut}});
    }
    Json features = Json::array();
    const Json first = row(0);
    for (const auto& it : first.items()) features.push_back({{"name", it.key()}});
    const Json answer = {{"features", features}, {"rows", rows}, {"num_rows_total", total}, {"partial", false}};
    return {200, {{"X-Revision", revision}}, answer.dump(), {}, {}};
  }

  Reply reply(const Request& request) {
    if (!next.empty()) {
      const Reply told = next.front();
      next.pop_front();
      return told;
    }
    const std::string dataset = value_of(request.query, "dataset");
    if (!dataset.starts_with("Some/")) {
      return {
          401, {}, R"({"error": "The dataset does not exist, or is not accessible without authentication."})", {}, {}};
    }
    if (request.path == "/splits") return splits(dataset);
    if (request.path == "/rows") return rows(request);
    return {404, {}, "", {}, {}};
  }

  HubEnvironment environment_;
  HttpServer server_;  // last: its thread looks at all the others
};

}  // namespace kvpress::test
