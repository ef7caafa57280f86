// Where the reference files are, and reading them. Integers are stored as floats there (exactly).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "paths.h"

namespace kvpress::test {

inline std::filesystem::path data_dir() { return std::filesystem::path(kTestDir) / "data"; }
inline std::filesystem::path project_dir() { return kProjectDir; }

/// The tensors of a reference file, decoded.
class References {
 public:
  explicit References(const std::string& name) : file_(open_safetensors(data_dir() / name)) {}

  bool has(const std::string& name) const { return file_->find(name) != nullptr; }
  std::vector<std::int64_t> shape(const std::string& name) const { return file_->at(name).shape; }
  std::vector<float> floats(const std::string& name) const {
    const TensorInfo& tensor = file_->at(name);
    std::vector<float> values(static_cast<std::size_t>(tensor.n_elements()));
    decode_to_f32(tensor, 0, values);
    return values;
  }
  std::vector<std::int32_t> ints(const std::string& name) const {
    const auto values = floats(name);
    return {values.begin(), values.end()};
  }
  const TensorFile& file() const { return *file_; }

 private:
  std::unique_ptr<TensorFile> file_;
};

}  // namespace kvpress::test
