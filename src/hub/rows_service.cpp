#include "hub/rows_service.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/json_text.h"
#include "hub/hub_cache.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::int64_t kLongestPage = 100;

/// ORG--NAME. Throws UsageError for what cannot be a data set's name.
std::string folder_of(const std::string& dataset) {
  // A data set may have a name without an organization.
  const auto name = parse_hub_name(dataset.find('/') == std::string::npos ? "some/" + dataset : dataset);
  if (!name || !name->file.empty() || name->revision != "main") {
    fail_usage("hf:{}: is not a data set id; give hf:ORG/NAME, such as hf:Salesforce/wikitext", dataset);
  }
  std::string folder = dataset;
  if (const auto slash = folder.find('/'); slash != std::string::npos) folder.replace(slash, 1, "--");
  return folder;
}

/// "https://host:port" as the name of a folder.
std::string host_folder(const std::string& address) {
  std::string folder = address.substr(address.find("://") + 3);
  std::replace_if(
      folder.begin(), folder.end(), [](char it) { return it == ':' || it == '/'; }, '_');
  return folder;
}

/// What the service says in words, in one line.
std::string words_of(const std::string& body) {
  const Json json = try_parse_json(body).value_or(Json());
  if (!json.is_object() || !json.contains("error") || !json["error"].is_string()) return "";
  std::string words = json["error"].get<std::string>();
  return words.substr(0, std::min<std::size_t>(words.find('\n'), 300));
}

/// Fewer rows would be an answer.
bool says_too_big(const std::string& words) {
  return words.find("too big") != std::string::npos || words.find("limit exceeded") != std::string::npos;
}

}  // namespace

/// Some rows as the service gave them, and whose they are.
struct RowsReader::Page {
  Json json;
  std::int64_t n_rows() const { return static_cast<std::int64_t>(json.at("rows").size()); }
};

RowsReader::RowsReader(HubSettings settings, RowsRequest request, const RetrySettings& retries)
    : settings_(std::move(settings)), request_(std::move(request)), http_(retries), name_("hf:" + request_.dataset) {
  folder_ = settings_.rows_cache / host_folder(settings_.rows_endpoint) / folder_of(request_.dataset);
  choose_split();
  name_ += fmt::format(" ({}, {})", request_.config, request_.split);
  folder_ = folder_ / url_quoted(request_.config) / url_quoted(request_.split);
}

RowsReader::~RowsReader() = default;

std::string RowsReader::ask(const std::string& path, std::string* revision) {
  if (settings_.offline) {
    fail("{}: needs rows that are not in the cache ({}), and HF_HUB_OFFLINE is set", name_, folder_.string());
  }
  HttpResponse response;
  try {
    response = http_.get({.url = settings_.rows_endpoint + path, .token = settings_.token});
  } catch (const Unreachable& error) {
    fail("{}: {}; downloaded rows are cached in {}", name_, error.what(), settings_.rows_cache.string());
  }
  if (revision != nullptr) *revision = response.header("x-revision");
  if (response.ok()) return std::move(response.body);
  const std::string words = words_of(response.body);
  const std::string says = words.empty() ? fmt::format("HTTP status {}", response.status) : words;
  if (response.status == 401 || response.status == 403) {
    fail("{}: {} returned: {}; set HF_TOKEN if the data set is private or gated", name_, settings_.rows_endpoint, says);
  }
  fail("{}: {} returned: {}", name_, settings_.rows_endpoint, says);
}

std::string RowsReader::splits(bool fresh) {
  const fs::path kept = folder_ / "splits.json";
  std::error_code error;
  if (!fresh && fs::is_regular_file(kept, error)) return read_file(kept);
  const std::string answer = ask("/splits?dataset=" + url_quoted(request_.dataset), nullptr);
  make_folders(folder_);
  write_file(kept, answer);
  return answer;
}

void RowsReader::choose_split() {
  const auto pick = [this](const std::vector<std::string>& there, std::string& wanted, const char* usual,
                           const char* what, const std::string& option, bool may_fail) {
    const auto has = [&](const std::string& it) { return std::find(there.begin(), there.end(), it) != there.end(); };
    if (wanted.empty() && has(usual)) wanted = usual;
    if (wanted.empty() && there.size() == 1) wanted = there.front();
    if (!wanted.empty() && has(wanted)) return true;
    if (may_fail) return false;
    if (wanted.empty()) {
      fail_usage("{}: has several {}s; choose one with {}: {}", name_, what, option, fmt::join(there, ", "));
    }
    fail_usage("{}: has no {} '{}'; choose one with {}: {}", name_, what, wanted, option, fmt::join(there, ", "));
  };
  // What is kept may be old: where it has not what is wanted, the service is asked again.
  for (const bool fresh : {false, true}) {
    const bool last = fresh || settings_.offline;
    std::vector<std::string> configs;
    std::vector<std::string> splits_of_config;
    try {
      const Json json = try_parse_json(splits(fresh)).value_or(Json());
      for (const Json& it : json.at("splits")) {
        const auto config = it.at("config").get<std::string>();
        if (std::find(configs.begin(), configs.end(), config) == configs.end()) configs.push_back(config);
      }
      if (configs.empty()) fail("{}: {} has no rows of this data set", name_, settings_.rows_endpoint);
      if (!pick(configs, request_.config, "default", "configuration", setting("config"), !last)) continue;
      for (const Json& it : json.at("splits")) {
        if (it.at("config") == request_.config) splits_of_config.push_back(it.at("split").get<std::string>());
      }
    } catch (const Json::exception&) {
      fail("{}: {} does not respond like a rows service; check HF_DATASETS_SERVER", name_, settings_.rows_endpoint);
    }
    if (pick(splits_of_config, request_.split, "test", "split", setting("split"), !last)) return;
  }
}

std::optional<RowsReader::Page> RowsReader::page_on_disk() const {
  // Pages differ in length; of those that begin here the longest is taken.
  std::error_code error;
  std::int64_t most = 0;
  fs::path best;
  for (const auto& it : fs::directory_iterator(folder_, error)) {
    const std::string file = it.path().filename().string();
    std::int64_t first = -1;
    std::int64_t count = 0;
    const char* end = file.data() + file.size();
    const auto dash = std::from_chars(file.data(), end, first);
    if (dash.ec != std::errc() || dash.ptr == end || *dash.ptr != '-') continue;
    const auto dot = std::from_chars(dash.ptr + 1, end, count);
    if (dot.ec != std::errc() || std::string_view(dot.ptr, static_cast<std::size_t>(end - dot.ptr)) != ".json")
      continue;
    if (first == next_row_ && count > most) {
      most = count;
      best = it.path();
    }
  }
  if (best.empty()) return std::nullopt;
  Page page{try_parse_json(read_file(best)).value_or(Json())};
  if (!page.json.is_object() || !page.json.contains("rows")) fail("{}: is damaged; delete it", best.string());
  return page;
}

RowsReader::Page RowsReader::fetch_page() {
  std::int64_t length = std::min(request_.page, kLongestPage);
  if (request_.max_rows > 0) length = std::min(length, request_.max_rows - next_row_);
  for (;; length /= 2) {
    std::string revision;
    std::string answer;
    try {
      answer = ask(fmt::format("/rows?dataset={}&config={}&split={}&offset={}&length={}", url_quoted(request_.dataset),
                               url_quoted(request_.config), url_quoted(request_.split), next_row_, length),
                   &revision);
    } catch (const Error& error) {
      if (length > 1 && says_too_big(error.what())) continue;
      throw;
    }
    try {
      Json json = try_parse_json(answer).value_or(Json());
      for (const Json& it : json.at("rows")) {
        const auto row = it.at("row_idx").get<std::int64_t>();
        if (it.contains("truncated_cells") &&
            std::any_of(it["truncated_cells"].begin(), it["truncated_cells"].end(),
                        [&](const Json& cell) { return request_.column.empty() || cell == request_.column; })) {
          fail("{}: {} returns row {} truncated, because its text is too long", name_, settings_.rows_endpoint, row);
        }
      }
      // Kept is what is needed to take the page up again.
      Json kept;
      kept["revision"] = revision;
      kept["num_rows_total"] = json.at("num_rows_total").get<std::int64_t>();
      kept["partial"] = json.value("partial", false);
      kept["features"] = std::move(json.at("features"));
      kept["rows"] = std::move(json.at("rows"));
      make_folders(folder_);
      write_file(folder_ / fmt::format("{:08}-{}.json", next_row_, kept["rows"].size()), kept.dump());
      return {std::move(kept)};
    } catch (const Json::exception&) {
      fail("{}: {} does not respond like a rows service; check HF_DATASETS_SERVER", name_, settings_.rows_endpoint);
    }
  }
}

void RowsReader::take(const Page& page) {
  const Json& json = page.json;
  const auto revision = json.at("revision").get<std::string>();
  const auto total = json.at("num_rows_total").get<std::int64_t>();
  if (n_rows_ >= 0 && (total != n_rows_ || revision != revision_)) {
    fail("{}: has changed since its first rows were downloaded; delete {} and run again", name_, folder_.string());
  }
  if (n_rows_ < 0) {
    n_rows_ = total;
    revision_ = revision;
    if (json.at("partial").get<bool>()) {
      log_warning(fmt::format("{}: the service has only the first {} rows", name_, total));
    }
    if (request_.max_rows > total)
      fail_usage("{}: has only {} rows, not {}; use fewer", name_, total, request_.max_rows);
  }
  std::vector<std::string> columns;
  for (const Json& it : json.at("features")) columns.push_back(it.at("name").get<std::string>());
  const bool whole = request_.column.empty();
  if (!whole && std::find(columns.begin(), columns.end(), request_.column) == columns.end()) {
    fail_usage("{}: has no column '{}'; choose one with {}: {}", name_, request_.column, setting("text_column"),
               fmt::join(columns, ", "));
  }
  texts_.clear();
  at_ = 0;
  for (const Json& it : json.at("rows")) {
    const Json& row = it.at("row");
    if (whole) {
      texts_.push_back(row.dump());
      continue;
    }
    const Json& cell = row.at(request_.column);
    if (cell.is_null()) {
      texts_.emplace_back();
    } else if (cell.is_string()) {
      texts_.push_back(cell.get<std::string>());
    } else {
      fail_usage("{}: column '{}' contains no texts; choose another with {}: {}", name_, request_.column,
                 setting("text_column"), fmt::join(columns, ", "));
    }
  }
  if (texts_.empty() && next_row_ < total) {
    fail("{}: {} returns no rows from {} on, although there are {}", name_, settings_.rows_endpoint, next_row_, total);
  }
  next_row_ += static_cast<std::int64_t>(texts_.size());
}

std::optional<std::string> RowsReader::next() {
  if (at_ == texts_.size()) {
    const std::int64_t end = request_.max_rows > 0 ? request_.max_rows : n_rows_;
    if (end >= 0 && next_row_ >= end) return std::nullopt;
    const std::optional<Page> kept = page_on_disk();
    const Page page = kept ? *kept : fetch_page();
    try {
      take(page);
    } catch (const Json::exception&) {
      fail("{}: cannot be read; delete {} and run again", name_, folder_.string());
    }
    if (texts_.empty()) return std::nullopt;
  }
  // A page on disk may be longer than what is wanted now.
  const std::int64_t row = next_row_ - static_cast<std::int64_t>(texts_.size() - at_);
  if (request_.max_rows > 0 && row >= request_.max_rows) return std::nullopt;
  return std::move(texts_[at_++]);
}

}  // namespace kvpress
