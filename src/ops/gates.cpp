#include "ops/gates.h"

#include <algorithm>
#include <cmath>

#include "kvpress/base/threads.h"
#include "ops/product/few_rows.h"
#include "ops/rowwise.h"

namespace kvpress {

void gate_multiply(Matrix<const float> x, Activation activation, const Activations& out) {
  if (activation == Activation::silu) {
    silu_multiply(x, out);
    return;
  }
  parallel_for(x.rows, [&](std::int64_t r) {
    thread_local AlignedVector<float> gate;
    const std::int64_t n = out.cols;
    gate.resize(static_cast<std::size_t>((n + kColumns - 1) / kColumns * kColumns));
    std::copy_n(x.row(r), n, gate.data());
    std::fill(gate.begin() + n, gate.end(), 0.0f);
    bias_and_activation(gate.data(), n, nullptr, activation);
    for (std::int64_t i = 0; i < n; ++i) gate[i] *= x.row(r)[n + i];
    from_float(gate.data(), out.block(r, 1).data, out.type, n);
  });
}

void limited_gate_multiply(Matrix<const float> x, float limit, const Activations& out) {
  constexpr float kSlope = 1.702f;
  parallel_for(x.rows, [&](std::int64_t r) {
    thread_local AlignedVector<float> result;
    const std::int64_t n = out.cols;
    result.resize(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) {
      const float gate = std::min(x.row(r)[i], limit);
      const float up = std::clamp(x.row(r)[n + i], -limit, limit);
      result[i] = gate / (1.0f + std::exp(-kSlope * gate)) * (up + 1.0f);
    }
    from_float(result.data(), out.block(r, 1).data, out.type, n);
  });
}

}  // namespace kvpress
