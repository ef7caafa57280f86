#include "hub/hub_settings.h"

#include <pwd.h>
#include <unistd.h>

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

/// The home of the user of this process, as Python's expanduser() finds it: HOME, else the user database.
std::string own_home() {
  if (std::string home = environment("HOME"); !home.empty()) return home;
  const passwd* user = ::getpwuid(::getuid());  // NOLINT(concurrency-mt-unsafe): read before threads begin
  if (user == nullptr || user->pw_dir == nullptr || *user->pw_dir == '\0') {
    fail("HOME: is not set, and the user database has no home of user {}; set HF_HOME", ::getuid());
  }
  return user->pw_dir;
}

/// With $NAME and ${NAME} replaced where they are set, as Python's expandvars() does.
std::string with_variables(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const bool braced = text.compare(at, 2, "${") == 0;
    const std::size_t from = at + (braced ? 2 : 1);
    std::size_t end = from;
    if (text[at] == '$') {
      while (end < text.size() && (text[end] == '_' || std::isalnum(static_cast<unsigned char>(text[end])) != 0)) ++end;
    }
    const std::string name = text.substr(from, end - from);
    const bool closed = !braced || (end < text.size() && text[end] == '}');
    const char* value = end > from && closed ? std::getenv(name.c_str()) : nullptr;
    if (value == nullptr) {
      result += text[at++];
      continue;
    }
    result += value;
    at = end + (braced ? 1 : 0);
  }
  return result;
}

/// A path that a variable names, where "~" may stand for the home, and $NAME for another variable.
fs::path stated_path(const char* name) {
  const std::string value = with_variables(environment(name));
  if (value == "~" || value.starts_with("~/")) return own_home() + value.substr(1);
  if (!value.starts_with('~')) return value;
  const std::size_t slash = std::min(value.find('/'), value.size());
  const passwd* user = ::getpwnam(value.substr(1, slash - 1).c_str());  // NOLINT(concurrency-mt-unsafe)
  return user == nullptr ? value : user->pw_dir + value.substr(slash);
}

fs::path home_of_hub() {
  if (const fs::path home = stated_path("HF_HOME"); !home.empty()) return home;
  fs::path cache = stated_path("XDG_CACHE_HOME");
  if (cache.empty()) cache = fs::path(own_home()) / ".cache";
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
