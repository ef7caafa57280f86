// How weights are quantized: what Linear is told, and what rows of weights come as.
#pragma once

#include <cstdint>
#include <functional>

namespace kvpress {

/// weight = (code - zero) * scale + min; `scale_inputs` inputs of a row share a scale and a min, both kept as float16.
struct QuantFormat {
  int bits = 8;           ///< 8 or 4
  int scale_inputs = 32;  ///< 32 or 16
  int zero = 0;
  bool has_min = false;

  bool operator==(const QuantFormat&) const = default;
};

/// What float weights are quantized to: as GGUF's Q8_0 and Q4_1 are.
inline constexpr QuantFormat kInt8Format = {8, 32, 128, false};
inline constexpr QuantFormat kInt4Format = {4, 32, 0, true};

/// Rows of quantized weights. Inputs are filled up to a multiple of 32, and all is 0 before it is filled in.
struct QuantParts {
  std::uint8_t* codes = nullptr;  ///< [rows][padded inputs]
  float* scales = nullptr;        ///< [rows][padded inputs / scale_inputs]
  float* mins = nullptr;          ///< the same, if has_min
};

/// Fills in rows [first_row, first_row + n_rows). Must not throw.
using QuantRows = std::function<void(std::int64_t first_row, std::int64_t n_rows, const QuantParts& to)>;

/// Quantizes one row to kInt8Format (scale = largest / 127) or kInt4Format (scale = range / 15), as ggml does.
void quantize_row(const float* weights, std::int64_t in, const QuantFormat& format, const QuantParts& to);

}  // namespace kvpress
