// A model of the hub, brought into the local cache: what this program needs of it, and nothing else.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "kvpress/hub/http.h"
#include "kvpress/hub/hub_cache.h"
#include "kvpress/hub/hub_settings.h"

namespace kvpress {

/// What a pull brought.
struct Pulled {
  std::string commit;
  std::filesystem::path snapshot;  ///< the folder
  std::vector<std::string> files;  ///< of the repository, now there
};

/// The files of `name`'s repository that are needed: the one that `name` or `files` say, else config.json, the
/// tokenizer's files and the weights as safetensors (model.safetensors, or its index and the shards that it names).
/// Asks the hub what the revision is now, and fetches what is not there yet. Throws Error: no network (or
/// HF_HUB_OFFLINE), no such model, revision or file, no access, nothing there that this program reads.
Pulled pull_model(const HubSettings& settings, const HubName& name, const std::vector<std::string>& files = {},
                  const RetrySettings& retries = {});

/// The snapshot's folder in the cache, or the file's path when `name` names one; nothing when it, its configuration or
/// some of its weights are not there. Asks nobody.
std::optional<std::filesystem::path> find_pulled(const HubSettings& settings, const HubName& name);

}  // namespace kvpress
