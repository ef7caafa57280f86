// Named tensors in a file, whatever its format: safetensors and GGUF both give this view. The bytes are the file's own
// (memory-mapped); nothing is read until it is decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace kvpress {

/// How a tensor's elements are stored. The Q types are GGUF's blocks (quants.h).
enum class StoredType : std::uint8_t {
  f32,
  f16,
  bf16,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  other
};

/// The types that can be decoded, for error messages.
inline constexpr std::string_view kReadableTypes = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K";

/// "F32", "BF16", "Q4_1", ...: the formats' own names.
std::string_view to_string(StoredType type);

struct TensorInfo {
  std::string name;
  StoredType type = StoredType::other;
  std::string type_name;            ///< as the file says it, also when `type` is other
  std::vector<std::int64_t> shape;  ///< row-major, outermost first (GGUF's order reversed)
  std::span<const std::byte> data;  ///< into the mapping; owned by the TensorFile

  std::int64_t n_elements() const;
};

/// Every tensor of a model: one file, or the shards of one. Owns the mappings.
class TensorFile {
 public:
  virtual ~TensorFile() = default;

  /// In the order of the file.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// Null when there is none of that name.
  const TensorInfo* find(std::string_view name) const;
  /// Throws Error naming the file and the tensor.
  const TensorInfo& at(std::string_view name) const;
  /// For error messages: the file or folder.
  const std::string& path() const { return path_; }

 protected:
  /// Throws Error on a name that stands twice.
  void add(TensorInfo tensor);

  std::string path_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, std::size_t> by_name_;
};

/// Decodes (dequantizes) elements [first, first + out.size()) of the flattened tensor; for Q types `first` and the
/// count are multiples of their blocks. Throws Error for StoredType::other.
void decode_to_f32(const TensorInfo& tensor, std::int64_t first, std::span<float> out);

}  // namespace kvpress
