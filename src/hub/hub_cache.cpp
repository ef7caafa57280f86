#include "hub/hub_cache.h"

#include <unistd.h>

#include <system_error>
#include <utility>

#include "base/file.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kHubsCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._";
constexpr std::size_t kLongestName = 96;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kLongestName && text.find_first_not_of(kHubsCharacters) == text.npos &&
         text.front() != '.' && text.front() != '-' && text.back() != '.' && text.back() != '-' &&
         text.find("--") == text.npos && text.find("..") == text.npos && !text.ends_with(".git");
}

std::string folder_name(std::string id) {
  for (auto at = id.find('/'); at != std::string::npos; at = id.find('/', at + 2)) id.replace(at, 1, "--");
  return "models--" + id;
}

}  // namespace

std::string HubName::text() const {
  return id + (file.empty() ? "" : "/" + file) + (revision == "main" ? "" : "@" + revision);
}

std::optional<HubName> parse_hub_name(const std::string& text) {
  HubName name;
  const auto at = text.find('@');
  if (at != std::string::npos) {
    name.revision = text.substr(at + 1);
    if (!is_safe_relative(name.revision)) return std::nullopt;
  }
  const std::string path = text.substr(0, at);
  const auto first = path.find('/');
  if (first == std::string::npos) return std::nullopt;
  const auto second = path.find('/', first + 1);
  name.id = path.substr(0, second);
  if (!is_name(path.substr(0, first)) || !is_name(name.id.substr(first + 1))) return std::nullopt;
  if (second == std::string::npos) {
    if (path.ends_with(".gguf") || path.ends_with(".safetensors")) return std::nullopt;
    return name;
  }
  name.file = path.substr(second + 1);
  if (!name.file.ends_with(".gguf") || !is_safe_relative(name.file)) return std::nullopt;
  return name;
}

HubRepository::HubRepository(fs::path cache, const std::string& id)
    : cache_(std::move(cache)), folder_(cache_ / folder_name(id)) {}

fs::path HubRepository::lock(const std::string& etag) const {
  return cache_ / ".locks" / folder_.filename() / (etag + ".lock");
}

std::optional<fs::path> HubRepository::cached(const std::string& revision) const {
  std::string commit = revision;
  std::error_code error;
  if (const fs::path ref = folder_ / "refs" / revision; fs::is_regular_file(ref, error)) {
    commit = read_file(ref);
    while (!commit.empty() && (commit.back() == '\n' || commit.back() == ' ')) commit.pop_back();
  }
  if (!is_safe_relative(commit)) return std::nullopt;
  const fs::path found = snapshot(commit);
  return fs::is_directory(found, error) ? std::optional(found) : std::nullopt;
}

void HubRepository::set_ref(const std::string& revision, const std::string& commit) const {
  if (revision == commit) return;
  const fs::path ref = folder_ / "refs" / revision;
  std::error_code error;
  if (fs::is_regular_file(ref, error) && read_file(ref) == commit) return;
  make_folders(ref.parent_path());
  write_file(ref, commit);
}

bool HubRepository::known_absent(const std::string& commit, const std::string& file) const {
  std::error_code error;
  return fs::exists(folder_ / ".no_exist" / commit / file, error);
}

void HubRepository::set_absent(const std::string& commit, const std::string& file) const {
  const fs::path mark = folder_ / ".no_exist" / commit / file;
  make_folders(mark.parent_path());
  write_file(mark, "");
}

void HubRepository::link(const std::string& commit, const std::string& file, const std::string& etag) const {
  const fs::path target = snapshot(commit) / file;
  make_folders(target.parent_path());
  const fs::path relative = fs::path("blobs") / etag;
  fs::path up;
  for (fs::path at = target.parent_path(); at != folder_; at = at.parent_path()) up /= "..";
  const fs::path temporary = target.string() + fmt::format(".tmp{}", ::getpid());
  std::error_code error;
  fs::remove(temporary, error);
  fs::create_symlink(up / relative, temporary, error);
  if (!error) fs::rename(temporary, target, error);
  if (error) fail("{}: cannot be created: {}", target.string(), error.message());
}

void make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail("{}: cannot be created: {}", path.string(), error.message());
}

bool is_safe_relative(const std::string& file) {
  if (file.empty() || file.front() == '/' || file.size() > 1024) return false;
  if (file.find_first_of(std::string("\\\0\n", 3)) != std::string::npos) return false;
  for (const fs::path& part : fs::path(file)) {
    if (part == ".." || part == "." || part.empty()) return false;
  }
  return true;
}

}  // namespace kvpress
