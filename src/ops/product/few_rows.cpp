#include "ops/product/few_rows.h"

#include <algorithm>

#include "ops/isa.h"
#include "ops/rowwise.h"

namespace kvpress {

FewRowsKernel bf16_few_rows_kernel() { return has_fast_bfloat16() ? avx512bf16_few_rows_kernel() : nullptr; }

void few_rows_plain(const PackedWeights& weights, bool is_bf16, const void* x, std::int64_t n_rows, std::int64_t first,
                    std::int64_t n, float* sums, std::int64_t stride) {
  const auto value = [is_bf16](const void* data, std::int64_t i) {
    return is_bf16 ? to_float(static_cast<const bf16*>(data)[i]) : static_cast<const float*>(data)[i];
  };
  const std::int64_t pair = is_bf16 ? 2 : 1;
  const auto weight = [&](std::int64_t c, std::int64_t k) {
    if (weights.width == 0) return value(weights.data, c * weights.in + k);
    return value(weights.data, c / weights.width * weights.panel_stride + k / pair * pair * weights.width +
                                   c % weights.width * pair + k % pair);
  };
  const std::int64_t end = std::min(weights.out, (first + n) * kColumns);
  for (std::int64_t r = 0; r < n_rows; ++r) {
    for (std::int64_t c = first * kColumns; c < end; ++c) {
      float sum = 0;
      for (std::int64_t k = 0; k < weights.in; ++k) sum += value(x, r * weights.in + k) * weight(c, k);
      sums[r * stride + c - first * kColumns] = sum;
    }
  }
}

void finish_columns(float* sums, std::int64_t first, std::int64_t n, std::span<const float> bias, Activation activation,
                    bool accumulate, const Activations& y_row) {
  if (!bias.empty() || activation != Activation::none) {
    bias_and_activation(sums, n, bias.empty() ? nullptr : bias.data() + first, activation);
  }
  if (accumulate) {
    add(sums, y_row.as<float>() + first, n);
  } else {
    from_float(sums, y_row.as<std::byte>() + static_cast<std::size_t>(first) * size_of(y_row.type), y_row.type, n);
  }
}

void few_rows(const PackedWeights& weights, FewRowsKernel kernel, const Activations& x, std::span<const float> bias,
              Activation activation, bool accumulate, const Activations& y) {
  const std::int64_t n_vectors = (weights.out + kColumns - 1) / kColumns;
  // Plain rows have no panels to stay within.
  const std::int64_t panel = weights.width == 0 ? n_vectors : weights.width / kColumns;
  const auto bytes = weights.out * weights.in * static_cast<std::int64_t>(size_of(x.type));
  for_columns(weights.out, {1, panel, bytes}, bias, activation, accumulate, y,
              [&](std::int64_t row, std::int64_t n_rows, std::int64_t first, std::int64_t n, float* sums) {
                kernel(weights, x.block(row, n_rows).data, n_rows, first, n, sums, kSumStride);
              });
}

}  // namespace kvpress
