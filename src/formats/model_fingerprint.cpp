#include "formats/model_fingerprint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/file.h"
#include "base/hash.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_of(const ModelFiles& model) {
  std::vector<fs::path> files;
  if (model.gguf != nullptr) {
    files = model.gguf->files();
  } else if (!fs::is_directory(model.path)) {
    files.push_back(model.path);
  }
  if (!model.config_json.empty()) {
    files.push_back(model.config_json);
    for (const auto& it : fs::directory_iterator(model.config_json.parent_path())) {
      if (it.path().extension() == ".safetensors" && it.path() != model.path) files.push_back(it.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string model_fingerprint(const ModelFiles& model) {
  constexpr std::size_t kBlocks = 64;
  constexpr std::size_t kBlock = 4096;
  std::uint64_t hash = 0;
  const auto add = [&hash](std::string_view text) { hash = mix(hash ^ hash_bytes(text)) + 1; };
  for (const fs::path& path : files_of(model)) {
    const MappedFile file(path);
    const auto bytes = file.bytes();
    add(path.filename().string());
    add(std::to_string(bytes.size()));
    if (bytes.size() <= kBlocks * kBlock) {
      add(text_of(bytes));
      continue;
    }
    for (std::size_t i = 0; i < kBlocks; ++i)
      add(text_of(bytes.subspan((bytes.size() - kBlock) / kBlocks * i, kBlock)));
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace kvpress
