// Addresses, folders and token of the hub, from the environment variables of huggingface_hub.
#pragma once

#include <filesystem>
#include <string>

namespace kvpress {

struct HubSettings {
  std::string endpoint;       ///< HF_ENDPOINT, else https://huggingface.co; without a / at the end
  std::string rows_endpoint;  ///< HF_DATASETS_SERVER, else https://datasets-server.huggingface.co
  std::string token;          ///< HF_TOKEN, else the content of the file HF_TOKEN_PATH or $HF_HOME/token; may be empty
  std::filesystem::path cache;       ///< HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub
  std::filesystem::path rows_cache;  ///< kvpress-rows, beside the hub's cache
  bool offline = false;              ///< HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is 1, on, yes or true
};

/// Reads the environment. Throws UsageError for an address that is not http:// or https://.
HubSettings hub_settings();

}  // namespace kvpress
