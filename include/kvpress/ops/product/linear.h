// y = activation(x W^T + b): weights packed once, for oneDNN, which multiplies many rows with them; few rows stream
// them (few_rows.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "kvpress/ops/matrix.h"

namespace kvpress {

enum class Activation : std::uint8_t { none, gelu_erf, gelu_tanh, relu, silu };

/// Fills rows [first_row, first_row + n_rows) of a weight matrix [out, in] as float32.
using WeightRows = std::function<void(std::int64_t first_row, std::int64_t n_rows, float* out)>;

class CompactWeights;  // compact_weights.h
class LinearImpl;      // linear_impl.h

/// Copies share the packed weights. Not to be called by two threads at once (it keeps a product per number of rows).
class Linear {
 public:
  /// Up to so many rows are multiplied with compact weights as they are; more, where the weights say so.
  static constexpr std::int64_t kCompactRows = 4;

  Linear();
  /// Packs the weights [out, in] that `rows` yields, in `type` (float32, or bfloat16 on x86-64 with
  /// AVX-512: the type of the inputs as well).
  /// `bias` has `out` values or none. `activation` is applied to the result. The packed weights lie in a piece of
  /// `arena`, or by themselves.
  Linear(std::int64_t out, std::int64_t in, const WeightRows& rows, std::span<const float> bias, DType type,
         Activation activation = Activation::none, PageArena* arena = nullptr);
  /// The same with weights that stay as they are held; for more than kCompactRows rows they are decoded to `type`, a
  /// part at a time.
  Linear(std::shared_ptr<const CompactWeights> weights, std::span<const float> bias, DType type,
         Activation activation = Activation::none);
  Linear(const Linear&);
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear) noexcept;
  ~Linear();

  std::int64_t in_features() const;
  std::int64_t out_features() const;
  DType type() const;
  /// Of the weights as they are held; 0 where there are none.
  std::size_t bytes() const;

  /// x: [n, in] of type(); y: [n, out], float32 or bfloat16. With `accumulate`, y (float32) += the result; many rows
  /// that have an activation as well are left to oneDNN's slow reference.
  void operator()(const Activations& x, const Activations& y, bool accumulate = false) const;

  /// A part of the result: columns [first, first + y.cols), where first is a multiple of column_block() and y.cols
  /// column_block(), or what is left. y: [n, y.cols], float32. For results too wide to be held whole; at any number of
  /// rows the same arithmetic, which is for many.
  void columns(const Activations& x, std::int64_t first, const Activations& y) const;
  /// As many columns as let a block's weights and results stay in cache; all of them where weights are packed in one.
  std::int64_t column_block() const;

  /// The kernel for n rows, oneDNN's name of its own: for benchmarks and for the test that none is a slow reference.
  std::string_view kernel(std::int64_t n) const;

  /// How the weights are held (linear_impl.h): for kernels of the library that make a product one with something else.
  const LinearImpl& impl() const { return *impl_; }

 private:
  std::shared_ptr<LinearImpl> impl_;
};

/// The product that makes logits, and what becomes of them: soft_cap * tanh(logit / soft_cap), unless that is 0. The
/// product must live as long.
struct OutputHead {
  OutputHead(const Linear& product_, float soft_cap_ = 0)  // NOLINT(google-explicit-constructor)
      : product(product_), soft_cap(soft_cap_) {}
  const Linear& product;
  float soft_cap;
};

/// C = alpha op(A) op(B) + beta C in float32, row-major; op(X) is X or its transpose. C is m x n, the inner size k.
/// Single-threaded when called inside a parallel loop.
void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
          const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);

}  // namespace kvpress
