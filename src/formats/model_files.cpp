#include "kvpress/formats/model_files.h"

#include <unistd.h>

#include <cstdlib>
#include <system_error>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/file.h"
#include "kvpress/formats/safetensors.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool file_exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

ModelFiles open_folder(const std::string& name, const fs::path& folder) {
  ModelFiles files;
  files.name = name;
  files.path = folder;
  files.config_json = folder / "config.json";
  if (!file_exists(files.config_json))
    fail("{}: has no config.json; a model's folder has one, and model.safetensors", folder.string());
  if (file_exists(folder / "tokenizer.json")) files.tokenizer_json = folder / "tokenizer.json";
  files.tensors = open_safetensors(folder);
  return files;
}

ModelFiles open_file(const std::string& name, const fs::path& path) {
  if (path.extension() == ".safetensors") {
    ModelFiles files;
    files.name = name;
    files.path = path;
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    files.config_json = folder / "config.json";
    if (!file_exists(files.config_json)) fail("{}: needs a config.json beside it", path.string());
    if (file_exists(folder / "tokenizer.json")) files.tokenizer_json = folder / "tokenizer.json";
    files.tensors = open_safetensors(path);
    return files;
  }
  if (path.extension() == ".gguf") {
    auto gguf = std::make_unique<GgufFile>(path);
    ModelFiles files;
    files.name = name;
    files.path = path;
    files.gguf = gguf.get();
    files.tensors = std::move(gguf);
    return files;
  }
  fail_usage("{}: is not a model; give a folder, a .safetensors or a .gguf file", path.string());
}

/// A folder that a variable names, where "~" may stand for the home.
fs::path stated_folder(const char* name) {
  const std::string value = environment(name);
  if (value == "~" || value.starts_with("~/")) return environment("HOME") + value.substr(1);
  return value;
}

/// As huggingface_hub looks for it.
fs::path hub_cache() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const fs::path cache = stated_folder(name); !cache.empty()) return cache;
  }
  if (const fs::path home = stated_folder("HF_HOME"); !home.empty()) return home / "hub";
  fs::path cache = stated_folder("XDG_CACHE_HOME");
  if (cache.empty()) cache = fs::path(environment("HOME")) / ".cache";
  return cache / "huggingface" / "hub";
}

/// ORG/NAME or ORG/NAME@REVISION: the snapshot's folder in the hub's cache.
ModelFiles open_hub_id(const std::string& name) {
  const auto at = name.find('@');
  std::string id = name.substr(0, at);
  const std::string revision = at == std::string::npos ? "main" : name.substr(at + 1);
  std::string folder = "models--" + id;
  folder.replace(folder.find('/'), 1, "--");
  const fs::path repository = hub_cache() / folder;
  fs::path snapshot = repository / "snapshots" / revision;
  std::error_code error;
  if (const fs::path ref = repository / "refs" / revision; fs::is_regular_file(ref, error)) {
    std::string commit = read_file(ref);
    while (!commit.empty() && (commit.back() == '\n' || commit.back() == ' ')) commit.pop_back();
    snapshot = repository / "snapshots" / commit;
  }
  if (!fs::is_directory(snapshot, error)) {
    fail(
        "{}: is no file or folder here, and not in the hub's cache ({}); get it there with: hf download "
        "{}",
        name, repository.string(), id + (revision == "main" ? "" : " --revision " + revision));
  }
  return open_folder(name, snapshot);
}

bool looks_like_hub_id(const std::string& name) {
  constexpr std::string_view kHubsCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/";
  const auto at = name.find('@');
  const std::string id = name.substr(0, at);
  const auto slash = id.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == id.size()) return false;
  if (id.find('/', slash + 1) != std::string::npos || id.front() == '.') return false;
  if (id.find_first_not_of(kHubsCharacters) != std::string::npos || name.find("..") != std::string::npos) return false;
  if (at != std::string::npos && (at + 1 == name.size() || name[at + 1] == '/')) return false;
  return !name.ends_with(".gguf") && !name.ends_with(".safetensors");
}

}  // namespace

fs::path shipped_data_dir() {
  if (const std::string stated = environment("KVPRESS_DATA_DIR"); !stated.empty()) return stated;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  for (const fs::path& it : {program.parent_path().parent_path() / "share" / "kvpress",
                             fs::path(KVPRESS_INSTALL_DATA_DIR), fs::path(KVPRESS_SOURCE_DIR)}) {
    if (file_exists(it / "models") && file_exists(it / "data")) return it;
  }
  fail(
      "the models and data that ship with kvpress are not installed; set KVPRESS_DATA_DIR to the folder that holds "
      "them");
}

ModelFiles open_model_files(const std::string& name) {
  std::error_code error;
  const fs::path path = name;
  if (fs::is_directory(path, error)) return open_folder(name, path);
  if (fs::is_regular_file(path, error)) return open_file(name, path);
  if (name == "demo") return open_folder(name, shipped_data_dir() / "models" / "kvpress-demo");
  if (looks_like_hub_id(name)) return open_hub_id(name);
  fail(
      "{}: no such file or folder; give a model's folder, a .gguf file, a hub id such as EleutherAI/pythia-70m, or "
      "demo",
      name);
}

}  // namespace kvpress
