// Reads the rows of data sets page by page from the hub's rows service (HF_DATASETS_SERVER). Requests only the pages
// that are needed, and caches them on disk:
//   kvpress-rows/HOST/ORG--NAME/splits.json                    configurations and splits
//   kvpress-rows/HOST/ORG--NAME/CONFIG/SPLIT/FIRST-COUNT.json  rows
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hub/http.h"
#include "hub/hub_settings.h"

namespace kvpress {

struct RowsRequest {
  std::string dataset;          ///< ORG/NAME, or NAME
  std::string config = {};      ///< empty: "default", or the only one
  std::string split = {};       ///< empty: "test", or the only one
  std::string column = "text";  ///< the column with the texts; empty: whole rows, as JSON
  std::int64_t max_rows = 0;    ///< 0: all
  std::int64_t page = 100;      ///< rows per request, at most 100
};

/// Reads the texts of the rows one after another.
class RowsReader {
 public:
  /// Requests configurations and splits. Throws UsageError for an invalid data set id, and for a configuration, split
  /// or column that does not exist, with those that do. Throws Error if the service cannot be reached, or if
  /// HF_HUB_OFFLINE is set and the response is not cached.
  RowsReader(HubSettings settings, RowsRequest request, const RetrySettings& retries = {});
  ~RowsReader();

  const std::string& config() const { return request_.config; }
  const std::string& split() const { return request_.split; }

  /// The text of the next row; empty after the last row or max_rows. Throws UsageError if there are fewer than max_rows
  /// rows.
  std::optional<std::string> next();

 private:
  struct Page;
  void choose_split();
  std::string splits(bool fresh);
  std::optional<Page> page_on_disk() const;
  Page fetch_page();
  std::string ask(const std::string& path, std::string* revision);
  void take(const Page& page);

  HubSettings settings_;
  RowsRequest request_;
  HttpClient http_;
  std::string name_;  ///< for errors
  std::filesystem::path folder_;
  std::vector<std::string> texts_;  ///< of the current page
  std::size_t at_ = 0;              ///< next index in texts_
  std::int64_t next_row_ = 0;       ///< first row of the next page
  std::int64_t n_rows_ = -1;        ///< of the split; -1 before the first page
  std::string revision_;            ///< of the data set, if the service reports it
};

}  // namespace kvpress
