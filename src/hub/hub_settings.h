// Where the hub is, where its files are kept, and who asks: from the environment, by the names that huggingface_hub
// uses.
#pragma once

#include <filesystem>
#include <string>

namespace kvpress {

struct HubSettings {
  std::string endpoint;         ///< HF_ENDPOINT, else https://huggingface.co; no / at its end
  std::string rows_endpoint;    ///< HF_DATASETS_SERVER, else https://datasets-server.huggingface.co
  std::string token;            ///< HF_TOKEN, else what the file HF_TOKEN_PATH or $HF_HOME/token holds; may be empty
  std::filesystem::path cache;  ///< HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub
  std::filesystem::path rows_cache;  ///< beside the hub's cache: kvpress-rows
  bool offline = false;              ///< HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is 1, on, yes or true
};

/// Throws UsageError for an address that is no http:// or https:// one.
HubSettings hub_settings();

}  // namespace kvpress
