#include "kvpress/formats/model_files.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "formats/gguf_parts.h"
#include "formats/safetensors.h"
#include "hub/pull.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"

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

/// The tokenizer of a folder: the first of these that is there; empty if none is.
fs::path tokenizer_of(const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.model", "tekken.json"}) {
    if (file_exists(folder / name)) return folder / name;
  }
  return {};
}

ModelFiles open_folder(const std::string& name, const fs::path& folder) {
  ModelFiles files;
  files.name = name;
  files.path = folder;
  files.config_json = folder / "config.json";
  if (!file_exists(files.config_json))
    fail("{}: has no config.json; a model folder contains config.json and model.safetensors", folder.string());
  files.tokenizer = tokenizer_of(folder);
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
    if (!file_exists(files.config_json)) fail("{}: needs a config.json in the same folder", path.string());
    files.tokenizer = tokenizer_of(folder);
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

/// Fetches what the snapshot of a model lacks beside its weights. It is not needed by all that is done with a model:
/// where it cannot be had, the reason is kept for when it is.
std::string complete(const HubSettings& settings, const HubName& name, const fs::path& snapshot) {
  const bool has_tokenizer = !tokenizer_of(snapshot).empty();
  try {
    RetrySettings retries;
    if (has_tokenizer) retries.attempts = 1;  // little is missing, if anything
    complete_snapshot(settings, name, snapshot, retries);
  } catch (const Interrupted&) {
    throw;
  } catch (const Error& error) {
    if (has_tokenizer && !settings.offline) log_warning_once(error.what());
    return error.what();
  }
  return "";
}

/// From the hub's cache, and into it where it is not there yet.
ModelFiles open_hub_name(const std::string& text, const HubName& name) {
  const HubSettings settings = hub_settings();
  const std::vector<std::string> parts = gguf_parts(name.file);
  const auto is_there = [&](const std::string& file) {
    HubName part = name;
    part.file = file;
    return find_pulled(settings, part).has_value();
  };
  std::optional<fs::path> found = find_pulled(settings, name);
  std::string incomplete;
  if (!found || !std::all_of(parts.begin(), parts.end(), is_there)) {
    const Pulled pulled = pull_model(settings, name, parts);
    found = name.file.empty() ? pulled.snapshot : pulled.snapshot / name.file;
  } else if (name.file.empty()) {
    incomplete = complete(settings, name, *found);
  }
  ModelFiles files = name.file.empty() ? open_folder(text, *found) : open_file(text, *found);
  files.incomplete = std::move(incomplete);
  return files;
}

/// A name of three parts and more is a path when its first folder is here: then the file is missing, not the model.
bool is_path_here(const HubName& name) {
  return !name.file.empty() && file_exists(name.id.substr(0, name.id.find('/')));
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
  fail("the included models and data are not installed; set KVPRESS_DATA_DIR to the folder that contains them");
}

ModelFiles open_model_files(const std::string& name) {
  std::error_code error;
  const fs::path path = name;
  if (fs::is_directory(path, error)) return open_folder(name, path);
  if (fs::is_regular_file(path, error)) return open_file(name, path);
  if (name == "demo") return open_folder(name, shipped_data_dir() / "models" / "kvpress-demo");
  if (const auto hub_name = parse_hub_name(name); hub_name && !is_path_here(*hub_name)) {
    return open_hub_name(name, *hub_name);
  }
  fail("{}: no such file or folder; give a model folder, a .gguf file, a hub id such as EleutherAI/pythia-70m, or demo",
       name);
}

}  // namespace kvpress
