#include "hub/pull.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/json_text.h"
#include "hub/download.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

/// Small files beside the weights; other programs that find the model in the cache read more of them than this one
/// does.
constexpr std::string_view kSmallFiles[] = {"config.json",           "generation_config.json",  "tokenizer.json",
                                            "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                            "chat_template.jinja"};

/// Where there is no tokenizer.json, the first of these that there is.
constexpr std::string_view kOtherTokenizers[] = {"tokenizer.model", "tekken.json"};

std::string pull_command(const HubName& name) {
  return fmt::format("kvpress pull {}{}{}", name.id, name.revision == "main" ? "" : "@" + name.revision,
                     name.file.empty() ? "" : " " + name.file);
}

struct Repository {
  std::string commit;
  std::vector<std::string> files;
  bool has(const std::string& file) const { return std::find(files.begin(), files.end(), file) != files.end(); }
};

Repository list_files(const HubDownloader& hub, const HubName& name, const std::string& endpoint) {
  const std::string answer = hub.ask(fmt::format("/api/models/{}/revision/{}", name.id, url_quoted(name.revision)));
  try {
    const Json json = try_parse_json(answer).value_or(Json());
    Repository repository{json.at("sha").get<std::string>(), {}};
    for (const Json& it : json.at("siblings")) repository.files.push_back(it.at("rfilename").get<std::string>());
    if (is_safe_relative(repository.commit)) return repository;
  } catch (const Json::exception&) {
  }
  fail("{}: {} does not respond like a hub; check HF_ENDPOINT", name.id, endpoint);
}

/// The names of the shards in an index file.
std::set<std::string> shards_of(const fs::path& index) {
  std::set<std::string> shards;
  try {
    const Json json = try_parse_json(read_file(index)).value_or(Json());
    for (const auto& [tensor, shard] : json.at("weight_map").items()) {
      shards.insert(shard.get<std::string>());
    }
  } catch (const Json::exception&) {
    fail("{}: is not a safetensors index", index.string());
  }
  return shards;
}

/// Why a repository without safetensors cannot be used, and what can.
[[noreturn]] void complain_of_weights(const HubName& name, const Repository& repository) {
  std::vector<std::string> ggufs;
  for (const std::string& it : repository.files) {
    if (it.ends_with(".gguf")) ggufs.push_back(it);
  }
  if (!ggufs.empty()) {
    fail_usage("{}: contains GGUF files; choose one, such as {}/{}: {}", name.id, name.id, ggufs.front(),
               fmt::join(ggufs, ", "));
  }
  fail("{}: contains no {} with config.json; convert other weight formats to safetensors or GGUF", name.text(),
       kWeights);
}

/// Those that there are; of the others is remembered that there are none.
std::vector<std::string> small_files_of(const Repository& repository, const HubRepository& local) {
  std::vector<std::string> files;
  for (const std::string_view it : kSmallFiles) {
    const std::string file(it);
    if (repository.has(file)) {
      files.push_back(file);
    } else if (!local.known_absent(repository.commit, file)) {
      local.set_absent(repository.commit, file);
    }
  }
  for (const std::string& file : repository.files) {
    if (file.starts_with("additional_chat_templates/") && file.ends_with(".jinja")) files.push_back(file);
  }
  if (repository.has("tokenizer.json")) return files;
  for (const std::string_view it : kOtherTokenizers) {
    const std::string file(it);
    if (repository.has(file)) {
      files.push_back(file);
      break;
    }
    if (!local.known_absent(repository.commit, file)) local.set_absent(repository.commit, file);
  }
  return files;
}

Pulled pull(const HubSettings& settings, const HubName& name, std::vector<std::string> files,
            const RetrySettings& retries) {
  HttpClient http(retries);
  const HubDownloader hub(settings, http, name);
  const Repository repository = list_files(hub, name, settings.endpoint);
  const HubRepository local(settings.cache, name.id);
  if (!name.file.empty()) files.push_back(name.file);
  for (const std::string& it : files) {
    if (!repository.has(it)) {
      fail("{}: {} has no file '{}' in revision '{}'", name.id, settings.endpoint, it, name.revision);
    }
  }
  if (files.empty()) {
    if (!repository.has("config.json") || (!repository.has(kWeights) && !repository.has(kIndex))) {
      complain_of_weights(name, repository);
    }
    files = small_files_of(repository, local);
    if (repository.has(kWeights)) {
      files.emplace_back(kWeights);
    } else {
      files.emplace_back(kIndex);
      for (const std::string& it : shards_of(hub.fetch(repository.commit, kIndex))) files.push_back(it);
    }
  }
  for (const std::string& it : files) hub.fetch(repository.commit, it);
  // Only now: what was there before stays in use until the new is whole.
  local.set_ref(name.revision, repository.commit);
  return {repository.commit, local.snapshot(repository.commit), std::move(files)};
}

}  // namespace

Pulled pull_model(const HubSettings& settings, const HubName& name, const std::vector<std::string>& files,
                  const RetrySettings& retries) {
  if (settings.offline) {
    fail("{}: is not in the hub's cache ({}), and HF_HUB_OFFLINE is set; unset it and run: {}", name.text(),
         HubRepository(settings.cache, name.id).folder().string(), pull_command(name));
  }
  try {
    return pull(settings, name, files, retries);
  } catch (const Unreachable& error) {
    fail("{}: {}; to download it when a network is available, run: {} (the hub's cache is {})", name.text(),
         error.what(), pull_command(name), settings.cache.string());
  }
}

void complete_snapshot(const HubSettings& settings, const HubName& name, const fs::path& snapshot,
                       const RetrySettings& retries) {
  HubName of_commit = name;
  of_commit.revision = snapshot.filename().string();
  const HubRepository local(settings.cache, name.id);
  std::error_code error;
  std::string missing;
  for (const std::string_view it : kSmallFiles) {
    const std::string file(it);
    if (fs::exists(snapshot / file, error) || local.known_absent(of_commit.revision, file)) continue;
    missing += (missing.empty() ? "" : ", ") + file;
  }
  for (const std::string_view it : kOtherTokenizers) {
    const std::string file(it);
    if (fs::exists(snapshot / "tokenizer.json", error) || fs::exists(snapshot / file, error)) break;
    if (!missing.empty() || local.known_absent(of_commit.revision, file)) continue;
    missing = file;
  }
  if (missing.empty()) return;
  if (settings.offline) {
    fail("{}: its snapshot in the hub's cache lacks {}, and HF_HUB_OFFLINE is set; unset it and run: {}", name.text(),
         missing, pull_command(name));
  }
  try {
    HttpClient http(retries);
    const HubDownloader hub(settings, http, of_commit);
    const Repository repository = list_files(hub, of_commit, settings.endpoint);
    for (const std::string& it : small_files_of(repository, local)) hub.fetch(of_commit.revision, it);
  } catch (const Unreachable& unreachable) {
    fail("{}: its snapshot in the hub's cache lacks {}: {}; when a network is available, run: {}", name.text(), missing,
         unreachable.what(), pull_command(name));
  }
}

std::optional<fs::path> find_pulled(const HubSettings& settings, const HubName& name) {
  const auto snapshot = HubRepository(settings.cache, name.id).cached(name.revision);
  if (!snapshot) return std::nullopt;
  std::error_code error;
  const auto is_there = [&](const std::string& file) { return fs::is_regular_file(*snapshot / file, error); };
  if (!name.file.empty()) return is_there(name.file) ? std::optional(*snapshot / name.file) : std::nullopt;
  if (!is_there("config.json")) return std::nullopt;
  if (is_there(kWeights)) return snapshot;
  if (!is_there(kIndex)) return std::nullopt;
  const std::set<std::string> shards = shards_of(*snapshot / kIndex);
  return std::all_of(shards.begin(), shards.end(), is_there) ? snapshot : std::nullopt;
}

}  // namespace kvpress
