#include "hub/hub_settings.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <system_error>

#include "base/file.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// A path that a variable names, where "~" may stand for the home.
fs::path stated_path(const char* name) {
  const std::string value = environment(name);
  if (value == "~" || value.starts_with("~/")) return environment("HOME") + value.substr(1);
  return value;
}

fs::path home_of_hub() {
  if (const fs::path home = stated_path("HF_HOME"); !home.empty()) return home;
  fs::path cache = stated_path("XDG_CACHE_HOME");
  if (cache.empty()) cache = fs::path(environment("HOME")) / ".cache";
  return cache / "huggingface";
}

fs::path hub_cache() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const fs::path cache = stated_path(name); !cache.empty()) return cache;
  }
  return home_of_hub() / "hub";
}

std::string address(const char* name, const char* otherwise) {
  std::string value = environment(name);
  if (value.empty()) value = otherwise;
  while (value.ends_with('/')) value.pop_back();
  if (!value.starts_with("https://") && !value.starts_with("http://")) {
    fail_usage("{}: '{}' is not an address; it begins with https:// or http://", name, value);
  }
  return value;
}

std::string without_space(std::string text) {
  std::erase_if(text, [](unsigned char it) { return std::isspace(it) != 0; });
  return text;
}

std::string token() {
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    if (std::string stated = without_space(environment(name)); !stated.empty()) return stated;
  }
  fs::path file = stated_path("HF_TOKEN_PATH");
  if (file.empty()) file = home_of_hub() / "token";
  std::error_code error;
  return fs::is_regular_file(file, error) ? without_space(read_file(file)) : "";
}

bool is_true(std::string value) {
  std::transform(value.begin(), value.end(), value.begin(), [](unsigned char it) { return std::toupper(it); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

}  // namespace

HubSettings hub_settings() {
  HubSettings settings;
  settings.endpoint = address("HF_ENDPOINT", "https://huggingface.co");
  settings.rows_endpoint = address("HF_DATASETS_SERVER", "https://datasets-server.huggingface.co");
  settings.token = token();
  settings.cache = hub_cache();
  settings.rows_cache = settings.cache.parent_path() / "kvpress-rows";
  const std::string offline = environment("HF_HUB_OFFLINE");
  settings.offline = is_true(offline.empty() ? environment("TRANSFORMERS_OFFLINE") : offline);
  return settings;
}

}  // namespace kvpress
