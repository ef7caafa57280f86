// The variables that say where a hub is and where its files go, for a test: none but its own.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http_server.h"
#include "temporary_folder.h"

namespace kvpress::test {

/// Puts the caches into a folder of its own and clears all else as long as it lives.
class HubEnvironment {
 public:
  HubEnvironment() {
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
                             "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "http_proxy", "all_proxy"}) {
      variables_.push_back(std::make_unique<ScopedVariable>(name, std::nullopt));
    }
    set("HF_HOME", home_.path().string());
  }

  void set(const std::string& name, const std::string& value) {
    variables_.push_back(std::make_unique<ScopedVariable>(name, value));
  }
  std::filesystem::path home() const { return home_.path(); }

 private:
  TemporaryFolder home_;
  std::vector<std::unique_ptr<ScopedVariable>> variables_;
};

}  // namespace kvpress::test
