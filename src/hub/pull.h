// Downloads the files of a model that kvpress needs from the hub into the local cache.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "hub/http.h"
#include "hub/hub_cache.h"
#include "hub/hub_settings.h"

namespace kvpress {

/// The result of a pull.
struct Pulled {
  std::string commit;
  std::filesystem::path snapshot;  ///< the folder of the files
  std::vector<std::string> files;  ///< names in the repository; all are in the cache
};

/// Asks the hub for the current commit of the revision and downloads missing files: those that `name` or `files` name,
/// else config.json, the tokenizer files and the weights as safetensors (model.safetensors, or its index and shards).
/// Throws Error if there is no network (or HF_HUB_OFFLINE is set), no such model, revision or file, no access, or no
/// weights in a supported format.
Pulled pull_model(const HubSettings& settings, const HubName& name, const std::vector<std::string>& files = {},
                  const RetrySettings& retries = {});

/// The snapshot folder in the cache, or the path of the file that `name` names. Empty if the file, the configuration or
/// some of the weights are missing. Does not contact the hub.
std::optional<std::filesystem::path> find_pulled(const HubSettings& settings, const HubName& name);

/// Downloads the small files beside the weights (tokenizer, chat template, ...) that `snapshot`, which find_pulled()
/// gave, lacks: other programs leave snapshots of weights alone. Does not contact the hub if all are there or known not
/// to exist. Throws Error as pull_model().
void complete_snapshot(const HubSettings& settings, const HubName& name, const std::filesystem::path& snapshot,
                       const RetrySettings& retries = {});

}  // namespace kvpress
