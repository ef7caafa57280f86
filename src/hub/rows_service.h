// The rows of whole data sets, page by page from the hub's rows service (HF_DATASETS_SERVER): only as far as they are
// asked for, and kept on disk:
//   kvpress-rows/HOST/ORG--NAME/splits.json                    what there is
//   kvpress-rows/HOST/ORG--NAME/CONFIG/SPLIT/FIRST-COUNT.json  rows
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/hub/http.h"
#include "kvpress/hub/hub_settings.h"

namespace kvpress {

struct RowsRequest {
  std::string dataset;          ///< ORG/NAME, or NAME
  std::string config = {};      ///< empty: the only one, or "default"
  std::string split = {};       ///< empty: "test", or the only one
  std::string column = "text";  ///< the one that holds the texts; empty: whole rows, as JSON
  std::int64_t max_rows = 0;    ///< 0: all
  std::int64_t page = 100;      ///< rows to ask for at once, at most 100
};

/// Reads the texts one after another.
class RowsReader {
 public:
  /// Asks the service what there is. Throws UsageError for a data set's name that can be none, and for a configuration,
  /// split or column that does not exist, naming those that do; Error when the service cannot be reached, or is not to
  /// be (HF_HUB_OFFLINE) and the answer is not on disk.
  RowsReader(HubSettings settings, RowsRequest request, const RetrySettings& retries = {});
  ~RowsReader();

  const std::string& config() const { return request_.config; }
  const std::string& split() const { return request_.split; }

  /// The text of the next row; nothing after the last, or after max_rows. Throws UsageError when there are fewer than
  /// max_rows.
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
  std::vector<std::string> texts_;  ///< of the page at hand
  std::size_t at_ = 0;              ///< in it
  std::int64_t next_row_ = 0;       ///< of the page after it
  std::int64_t n_rows_ = -1;        ///< of the split; not known before the first page
  std::string revision_;            ///< of the data set, where the service tells
};

}  // namespace kvpress
