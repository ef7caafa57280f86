// One file of the hub, into its cache: resumed, checked by size and hash, put in place whole.
#pragma once

#include <filesystem>
#include <string>

#include "kvpress/hub/http.h"
#include "kvpress/hub/hub_cache.h"
#include "kvpress/hub/hub_settings.h"

namespace kvpress {

/// Fetches from one repository of the hub. Keeps references to what it is made of.
class HubDownloader {
 public:
  HubDownloader(const HubSettings& settings, HttpClient& http, const HubName& name);

  /// `file` of a commit. Nothing is fetched that is there. What a broken off download has got stays as
  /// blobs/ETAG.incomplete and is gone on from. Returns the path in the snapshot. Throws Error: no such file, no
  /// access, no space, wrong size or hash, no network.
  std::filesystem::path fetch(const std::string& commit, const std::string& file) const;

  /// Asks the hub's API; path begins with "/api". Throws Error.
  std::string ask(const std::string& path) const;

 private:
  struct Remote;
  Remote look_up(const std::string& commit, const std::string& file) const;
  void fetch_blob(const Remote& remote) const;
  /// Throws the Error that says what a status means for a person.
  [[noreturn]] void complain(const HttpResponse& response, const std::string& file) const;

  const HubSettings& settings_;
  HttpClient& http_;
  HubName name_;
  HubRepository repository_;
};

}  // namespace kvpress
