#include "kvpress/ops/product/linear.h"

#include <oneapi/dnnl/dnnl.hpp>

#include <utility>

#include "kvpress/base/error.h"
#include "ops/isa.h"
#include "ops/product/linear_impl.h"

namespace kvpress {

Linear::Linear() = default;
Linear::Linear(const Linear&) = default;
Linear::Linear(Linear&&) noexcept = default;
Linear::~Linear() = default;

Linear& Linear::operator=(Linear other) noexcept {
  impl_ = std::move(other.impl_);
  return *this;
}

Linear::Linear(std::int64_t out, std::int64_t in, const WeightRows& rows, std::span<const float> bias, DType type,
               Activation activation, PageArena* arena)
    : impl_(packed_linear(out, in, rows, bias, type, activation, arena)) {}

Linear::Linear(std::shared_ptr<const CompactWeights> weights, std::span<const float> bias, DType type,
               Activation activation)
    : impl_(compact_linear(std::move(weights), bias, type, activation)) {}

std::int64_t Linear::in_features() const { return impl_->in_features(); }
std::int64_t Linear::out_features() const { return impl_->out_features(); }
DType Linear::type() const { return impl_->type(); }
std::size_t Linear::bytes() const { return impl_ ? impl_->bytes() : 0; }

void Linear::operator()(const Activations& x, const Activations& y, bool accumulate) const {
  if (x.rows > 0) impl_->multiply(x, y, accumulate);
}

void Linear::columns(const Activations& x, std::int64_t first, const Activations& y) const {
  if (x.rows > 0) impl_->columns(x, first, y);
}

std::int64_t Linear::column_block() const { return impl_->column_block(); }
std::string_view Linear::kernel(std::int64_t n) const { return impl_->kernel(n); }

void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, float alpha,
          const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  isa();
  const auto status =
      dnnl::sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  if (status != dnnl::status::success) fail("matrix product {} x {} x {}: oneDNN refused it", m, n, k);
}

}  // namespace kvpress
