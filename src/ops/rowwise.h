// Kernels that go over rows: norms, gated activations, exponentials, conversions. SIMD by Highway, chosen at run time.
#pragma once

#include <cstdint>
#include <span>

#include "kvpress/ops/matrix.h"

namespace kvpress {

/// out = (x - mean) / sqrt(var + eps) * weight + bias, by rows (biased variance). out is float32 or bfloat16.
void layer_norm(Matrix<const float> x, const float* weight, const float* bias, float eps, const Activations& out);

/// out = x / sqrt(mean(x^2) + eps) * weight, by rows.
void rms_norm(Matrix<const float> x, const float* weight, float eps, const Activations& out);

/// SwiGLU: x is [rows, 2 n], its gate first; out [rows, n] = silu(gate) * up.
void silu_multiply(Matrix<const float> x, const Activations& out);

void add(const float* x, float* sum, std::int64_t n);

/// x[i] = exp(x[i] - shift); returns their sum.
float exp_shifted(float* x, std::int64_t n, float shift);
float max_value(const float* x, std::int64_t n);
/// Whether no value is NaN or infinite.
bool all_finite(const float* x, std::int64_t n);
void scale(float* x, std::int64_t n, float factor);
/// x[i] = cap * tanh(x[i] / cap), within 2e-7 of cap.
void soft_cap(float* x, std::int64_t n, float cap);
/// log(sum(exp(x))), safe for any x.
float log_sum_exp(const float* x, std::int64_t n);

/// Elements of `type` at `from`, as float32, and back.
void to_float(const void* from, DType type, float* to, std::int64_t n);
void from_float(const float* from, void* to, DType type, std::int64_t n);

}  // namespace kvpress
