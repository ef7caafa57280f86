// Named tensors of a file, independent of its format (safetensors or GGUF). The files are mapped into memory; nothing
// is read before it is decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace kvpress {

/// How a tensor's elements are stored. Those from q4_0 on are GGUF's blocks (quants.h).
enum class StoredType : std::uint8_t {
  f32,
  f16,
  bf16,
  f8_e4m3,
  f8_e5m2,
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
  q8_k,
  iq4_nl,
  iq4_xs,
  tq1_0,
  tq2_0,
  mxfp4,
  other
};

/// The types that can be decoded, for error messages.
inline constexpr std::string_view kReadableTypes =
    "F32, F16, BF16, F8_E4M3, F8_E5M2, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, Q8_K, IQ4_NL, IQ4_XS, TQ1_0, TQ2_0 "
    "and MXFP4";

/// The name in the file formats: "F32", "BF16", "Q4_1", ...
std::string_view to_string(StoredType type);

/// The product of the extents; empty if it, or that of the extents other than 0, is 2^63 or more.
std::optional<std::int64_t> checked_elements(std::span<const std::int64_t> shape);

struct TensorInfo {
  std::string name;
  StoredType type = StoredType::other;
  std::string type_name;            ///< the name in the file, also if `type` is other
  std::vector<std::int64_t> shape;  ///< row-major, outermost first (GGUF's order reversed)
  std::span<const std::byte> data;  ///< into the mapping; owned by the TensorFile

  std::int64_t n_elements() const;
};

/// All tensors of a model: of one file or of its shards. Owns the mappings.
class TensorFile {
 public:
  virtual ~TensorFile() = default;

  /// In the order of the file.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// The tensor, or null if there is none. Owned by the TensorFile.
  const TensorInfo* find(std::string_view name) const;
  /// The tensor. Throws Error with file and name if there is none.
  const TensorInfo& at(std::string_view name) const;
  /// For error messages: the file or folder.
  const std::string& path() const { return path_; }

 protected:
  /// Throws Error if the name exists already.
  void add(TensorInfo tensor);

  std::string path_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, std::size_t> by_name_;
};

/// Decodes (dequantizes) elements [first, first + out.size()) of the flattened tensor to float32. For blocks `first`
/// and the count must be multiples of the block size. Throws Error for StoredType::other.
void decode_to_f32(const TensorInfo& tensor, std::int64_t first, std::span<float> out);

}  // namespace kvpress
