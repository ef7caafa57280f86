#include "ops/gates.h"

#include <algorithm>

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

}  // namespace kvpress
