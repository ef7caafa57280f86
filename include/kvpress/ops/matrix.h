// Views of row-major matrices and of activations whose number format is known only at run time. They own nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kvpress/base/dtype.h"
#include "kvpress/base/memory.h"

namespace kvpress {

/// rows x cols elements, the rows `stride` elements apart.
template <typename T>
struct Matrix {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  Matrix() = default;
  Matrix(T* data_, std::int64_t rows_, std::int64_t cols_) : Matrix(data_, rows_, cols_, cols_) {}
  Matrix(T* data_, std::int64_t rows_, std::int64_t cols_, std::int64_t stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}
  /// Matrix<T> reads as Matrix<const T>.
  template <typename U>
  Matrix(const Matrix<U>& other)  // NOLINT(google-explicit-constructor)
      : Matrix(other.data, other.rows, other.cols, other.stride) {}

  T* row(std::int64_t i) const { return data + i * stride; }
  Matrix block(std::int64_t first_row, std::int64_t n_rows) const { return {row(first_row), n_rows, cols, stride}; }
  Matrix columns(std::int64_t first, std::int64_t n) const { return {data + first, rows, n, stride}; }
};

/// A dense matrix of float32 or bfloat16: the input or output of a product.
struct Activations {
  void* data = nullptr;
  DType type = DType::f32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;

  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  Activations block(std::int64_t first_row, std::int64_t n_rows) const {
    return {static_cast<std::byte*>(data) + static_cast<std::size_t>(first_row * cols) * size_of(type), type, n_rows,
            cols};
  }
  Matrix<float> as_float() const { return {static_cast<float*>(data), rows, cols}; }
};

/// Owns the bytes of an Activations; grows and never shrinks, so that one buffer serves every layer.
class ActivationBuffer {
 public:
  Activations get(DType type, std::int64_t rows, std::int64_t cols) {
    const auto bytes = static_cast<std::size_t>(rows * cols) * size_of(type);
    if (bytes_.size() < bytes) {
      bytes_.clear();  // nothing to keep: do not copy the old content over
      bytes_.resize(bytes);
    }
    return {bytes_.data(), type, rows, cols};
  }

 private:
  AlignedVector<std::byte> bytes_;
};

}  // namespace kvpress
