// Downloads files of the hub into its cache: resumed, checked by size and hash, moved into place atomically.
#pragma once

#include <filesystem>
#include <string>

#include "hub/http.h"
#include "hub/hub_cache.h"
#include "hub/hub_settings.h"

namespace kvpress {

/// Downloads from one repository of the hub. Keeps references to `settings` and `http`, which must outlive it.
class HubDownloader {
 public:
  HubDownloader(const HubSettings& settings, HttpClient& http, const HubName& name);

  /// Downloads `file` of a commit, unless it is in the cache, and returns its path in the snapshot. An interrupted
  /// download stays as blobs/ETAG.incomplete and is resumed. Throws Error if there is no such file, no access, no space
  /// or no network, or if size or hash are wrong.
  std::filesystem::path fetch(const std::string& commit, const std::string& file) const;

  /// The response of the hub's API; `path` begins with "/api". Throws Error.
  std::string ask(const std::string& path) const;

 private:
  struct Remote;
  Remote look_up(const std::string& commit, const std::string& file) const;
  void fetch_blob(const Remote& remote) const;
  /// Throws an Error that explains the HTTP status to the user.
  [[noreturn]] void complain(const HttpResponse& response, const std::string& file) const;

  const HubSettings& settings_;
  HttpClient& http_;
  HubName name_;
  HubRepository repository_;
};

}  // namespace kvpress
