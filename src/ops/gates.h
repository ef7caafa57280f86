// Feed-forward gates of any activation.
#pragma once

#include "kvpress/ops/matrix.h"
#include "kvpress/ops/product/linear.h"

namespace kvpress {

/// x is [rows, 2 n], its gate first; out [rows, n] = activation(gate) * up, float32 or bfloat16.
void gate_multiply(Matrix<const float> x, Activation activation, const Activations& out);

/// out = gate * sigmoid(1.702 gate) * (up + 1), with gates of at most `limit`, and `up` within +-limit (gpt-oss).
void limited_gate_multiply(Matrix<const float> x, float limit, const Activations& out);

}  // namespace kvpress
