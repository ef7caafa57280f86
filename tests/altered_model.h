// The demo model, or one of the small ones, with some weights changed, as a folder of its own.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "temporary_folder.h"
#include "test_data.h"

namespace kvpress::test {

inline std::filesystem::path demo_dir() { return project_dir() / "models" / "kvpress-demo"; }

/// Writes `from` into the folder, with the weights that `change` makes of each tensor. All become float32.
inline std::filesystem::path altered_model(
    const TemporaryFolder& folder, const std::filesystem::path& from,
    const std::function<void(const std::string& name, std::vector<float>& values)>& change) {
  for (const char* name : {"config.json", "generation_config.json", "tokenizer.json"}) {
    if (std::filesystem::exists(from / name)) {
      std::filesystem::copy_file(from / name, folder.path() / name, std::filesystem::copy_options::overwrite_existing);
    }
  }
  std::vector<NamedTensor> tensors;
  const auto file = open_safetensors(from / "model.safetensors");
  for (const TensorInfo& info : file->tensors()) {
    NamedTensor& tensor = tensors.emplace_back(NamedTensor{info.name, info.shape, {}});
    tensor.values.resize(static_cast<std::size_t>(info.n_elements()));
    decode_to_f32(info, 0, tensor.values);
    change(tensor.name, tensor.values);
  }
  write_safetensors(folder.path() / "model.safetensors", tensors);
  return folder.path();
}

}  // namespace kvpress::test
