#include "kvpress/formats/tensor_file.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "formats/printable.h"
#include "formats/quants.h"
#include "kvpress/base/dtype.h"
#include "kvpress/base/error.h"

namespace kvpress {

std::string_view to_string(StoredType type) {
  switch (type) {
    case StoredType::f32:
      return "F32";
    case StoredType::f16:
      return "F16";
    case StoredType::bf16:
      return "BF16";
    case StoredType::f8_e4m3:
      return "F8_E4M3";
    case StoredType::f8_e5m2:
      return "F8_E5M2";
    case StoredType::q4_0:
      return "Q4_0";
    case StoredType::q4_1:
      return "Q4_1";
    case StoredType::q5_0:
      return "Q5_0";
    case StoredType::q5_1:
      return "Q5_1";
    case StoredType::q8_0:
      return "Q8_0";
    case StoredType::q2_k:
      return "Q2_K";
    case StoredType::q3_k:
      return "Q3_K";
    case StoredType::q4_k:
      return "Q4_K";
    case StoredType::q5_k:
      return "Q5_K";
    case StoredType::q6_k:
      return "Q6_K";
    case StoredType::q8_k:
      return "Q8_K";
    case StoredType::iq4_nl:
      return "IQ4_NL";
    case StoredType::iq4_xs:
      return "IQ4_XS";
    case StoredType::tq1_0:
      return "TQ1_0";
    case StoredType::tq2_0:
      return "TQ2_0";
    case StoredType::mxfp4:
      return "MXFP4";
    case StoredType::other:
      return "other";
  }
  return "?";
}

std::optional<std::int64_t> checked_elements(std::span<const std::int64_t> shape) {
  std::int64_t n = 1;
  bool is_empty = false;
  for (const std::int64_t extent : shape) {
    is_empty = is_empty || extent == 0;
    if (extent != 0 && __builtin_mul_overflow(n, extent, &n)) return std::nullopt;
  }
  return is_empty ? 0 : n;
}

std::int64_t TensorInfo::n_elements() const {
  const auto n = checked_elements(shape);
  if (!n) fail("tensor {}: its shape overflows", printable(name));
  return *n;
}

const TensorInfo* TensorFile::find(std::string_view name) const {
  const auto it = by_name_.find(std::string(name));
  return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

const TensorInfo& TensorFile::at(std::string_view name) const {
  const TensorInfo* found = find(name);
  if (found == nullptr) fail("{}: tensor {} is missing", path_, printable(name));
  return *found;
}

void TensorFile::add(TensorInfo tensor) {
  if (!by_name_.emplace(tensor.name, tensors_.size()).second) {
    fail("{}: tensor {} appears twice; names must be unique", path_, printable(tensor.name));
  }
  tensors_.push_back(std::move(tensor));
}

namespace {

/// Elements that stand one by one; memcpy, since a file need not align them.
template <typename T>
void decode_plain(const std::byte* from, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof(T));
    out[i] = to_float(value);
  }
}

/// The 256 values of an 8-bit type: a sign, then exponent and mantissa. E5M2 has infinities and NaNs as float16 has;
/// E4M3 has NaN where all bits of exponent and mantissa are set, and no infinities.
std::array<float, 256> f8_values(int mantissa_bits, int bias, bool has_infinity) {
  std::array<float, 256> values{};
  const int n_mantissa = 1 << mantissa_bits;
  const int last_exponent = (1 << (7 - mantissa_bits)) - 1;
  for (int code = 0; code < 256; ++code) {
    const int exponent = (code & 0x7f) >> mantissa_bits;
    const int mantissa = code & (n_mantissa - 1);
    float value = exponent == 0
                      ? std::ldexp(static_cast<float>(mantissa), 1 - bias - mantissa_bits)
                      : std::ldexp(static_cast<float>(n_mantissa + mantissa), exponent - bias - mantissa_bits);
    if (has_infinity && exponent == last_exponent) {
      value = mantissa == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
    } else if (!has_infinity && (code & 0x7f) == 0x7f) {
      value = std::numeric_limits<float>::quiet_NaN();
    }
    values[static_cast<std::size_t>(code)] = code < 0x80 ? value : -value;
  }
  return values;
}

void decode_f8(const std::array<float, 256>& values, const std::byte* from, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = values[std::to_integer<std::size_t>(from[i])];
}

}  // namespace

void decode_to_f32(const TensorInfo& tensor, std::int64_t first, std::span<float> out) {
  const auto at = [&](std::size_t element_bytes) {
    return tensor.data.data() + static_cast<std::size_t>(first) * element_bytes;
  };
  switch (tensor.type) {
    case StoredType::f32:
      decode_plain<float>(at(4), out);
      return;
    case StoredType::f16:
      decode_plain<f16>(at(2), out);
      return;
    case StoredType::bf16:
      decode_plain<bf16>(at(2), out);
      return;
    case StoredType::f8_e4m3: {
      static const std::array<float, 256> values = f8_values(3, 7, false);
      decode_f8(values, at(1), out);
      return;
    }
    case StoredType::f8_e5m2: {
      static const std::array<float, 256> values = f8_values(2, 15, true);
      decode_f8(values, at(1), out);
      return;
    }
    case StoredType::other:
      fail("tensor {}: type {} is not supported; supported: {}", printable(tensor.name), printable(tensor.type_name),
           kReadableTypes);
    default: {
      const QuantLayout layout = quant_layout(tensor.type);
      const auto start = static_cast<std::size_t>(first);
      if (start % layout.block != 0 || out.size() % layout.block != 0) {
        fail("tensor {}: {} blocks have {} elements; a part of a block cannot be decoded", printable(tensor.name),
             tensor.type_name, layout.block);
      }
      dequantize(tensor.type, tensor.data.data() + start / layout.block * layout.bytes, out);
    }
  }
}

}  // namespace kvpress
