#include "formats/model_fingerprint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
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

/// Sixteen hexadecimal digits of all that was added.
class Fingerprint {
 public:
  void add(std::string_view text) { hash_ = mix(hash_ ^ hash_bytes(text)) + 1; }
  /// All bytes of a small piece; of a large one `n_blocks` blocks that are distributed over it.
  void add_blocks(std::span<const std::byte> bytes, std::size_t n_blocks) {
    constexpr std::size_t kBlock = 4096;
    if (bytes.size() <= n_blocks * kBlock) {
      add(text_of(bytes));
      return;
    }
    for (std::size_t i = 0; i < n_blocks; ++i) {
      add(text_of(bytes.subspan((bytes.size() - kBlock) / n_blocks * i, kBlock)));
    }
  }
  std::string text() const { return fmt::format("{:016x}", hash_); }

 private:
  std::uint64_t hash_ = 0;
};

constexpr std::string_view kTokenizerKeys = "tokenizer.";

void add_value(Fingerprint& fingerprint, const GgufValue& value) {
  std::visit(
      [&](const auto& it) {
        using T = std::decay_t<decltype(it)>;
        if constexpr (std::is_same_v<T, std::string>) {
          fingerprint.add(it);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          for (const std::string& text : it) fingerprint.add(text);
        } else if constexpr (requires { it.data(); }) {
          fingerprint.add({reinterpret_cast<const char*>(it.data()), it.size() * sizeof(it[0])});
        } else {
          fingerprint.add({reinterpret_cast<const char*>(&it), sizeof it});
        }
      },
      value);
}

/// Names and values of a GGUF, in the order of the names.
void add_metadata(Fingerprint& fingerprint, const GgufFile& gguf,
                  const std::function<bool(std::string_view)>& is_wanted) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : gguf.metadata()) {
    if (is_wanted(key)) keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end());
  for (const std::string& key : keys) {
    fingerprint.add(key);
    add_value(fingerprint, gguf.metadata().at(key));
  }
}

}  // namespace

std::string model_fingerprint(const ModelFiles& model) {
  Fingerprint fingerprint;
  for (const fs::path& path : files_of(model)) {
    const MappedFile file(path);
    fingerprint.add(path.filename().string());
    fingerprint.add(std::to_string(file.bytes().size()));
    fingerprint.add_blocks(file.bytes(), 64);
  }
  return fingerprint.text();
}

std::string weights_fingerprint(const ModelFiles& model) {
  Fingerprint fingerprint;
  if (model.gguf != nullptr) {
    // Not general.*, which say who made it and when.
    add_metadata(fingerprint, *model.gguf,
                 [](std::string_view key) { return !key.starts_with(kTokenizerKeys) && !key.starts_with("general."); });
  } else if (!model.config_json.empty()) {
    fingerprint.add(read_file(model.config_json));
  }
  std::vector<const TensorInfo*> tensors;
  for (const TensorInfo& it : model.tensors->tensors()) tensors.push_back(&it);
  std::sort(tensors.begin(), tensors.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  for (const TensorInfo* it : tensors) {
    fingerprint.add(it->name);
    fingerprint.add(it->type_name);
    for (const std::int64_t extent : it->shape) fingerprint.add(std::to_string(extent));
    fingerprint.add_blocks(it->data, 4);
  }
  return fingerprint.text();
}

std::string tokenizer_fingerprint(const ModelFiles& model) {
  Fingerprint fingerprint;
  if (model.gguf != nullptr) {
    add_metadata(fingerprint, *model.gguf, [](std::string_view key) {
      return key.starts_with(kTokenizerKeys) && !key.starts_with("tokenizer.chat_template");
    });
  } else if (!model.tokenizer.empty()) {
    fingerprint.add(read_file(model.tokenizer));
  } else {
    return "";
  }
  return fingerprint.text();
}

}  // namespace kvpress
