// Products of many rows by oneDNN, y = activation(x W + bias), and how it arranges weights for them. Both kinds of
// Linear are made of these.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>

#include "kvpress/ops/matrix.h"
#include "kvpress/ops/product/linear.h"
#include "ops/product/few_rows_kernels.h"

namespace kvpress::onednn {

using dnnl::memory;

/// The processor's, with the instructions that isa() allows.
dnnl::engine& engine();
/// Of the calling thread.
dnnl::stream& stream();

memory::data_type data_type(DType type);
/// Rows that follow each other.
memory::desc rows_desc(std::int64_t rows, std::int64_t cols, DType type);
/// The weights of `in` inputs and `columns` outputs, in an arrangement that oneDNN is to choose.
memory::desc any_weights(std::int64_t in, std::int64_t columns, DType type);

std::int64_t columns_of(const memory::desc& weights);
/// The inputs, with those that fill up a block.
std::int64_t padded_inputs_of(const memory::desc& weights);
/// The arrangement as PackedWeights tells it, without data; none when it cannot.
std::optional<PackedWeights> arrangement(const memory::desc& weights, DType type);
/// Columns [first, first + columns) of packed weights as weights of their own; none where they cannot be.
std::optional<memory> some_columns(const memory& weights, DType type, std::int64_t first, std::int64_t columns);

/// The number of rows that arrangements are chosen for: a long prefill's block.
inline constexpr std::int64_t kTypicalRows = 512;

/// The products with the weights of one Linear, or with parts of them. Several threads may use one at a time.
class Products {
 public:
  Products(std::int64_t in, DType type, std::span<const float> bias, Activation activation);

  std::span<const float> bias() const;
  Activation activation() const { return activation_; }

  /// For as many columns of y, whose rows stand y_stride apart, as the weights have.
  dnnl::matmul::primitive_desc describe(std::int64_t rows, const memory::desc& weights, std::int64_t y_stride,
                                        DType out_type = DType::f32, bool accumulate = false) const;
  /// oneDNN's name of what multiplies so many rows; valid for ever.
  std::string_view kernel(std::int64_t rows, const memory::desc& weights, std::int64_t y_stride);

  /// As many columns as `weights` has, which are those from first_column on, to y from y_column on.
  void multiply(const Activations& x, const memory& weights, std::int64_t first_column, const Activations& y,
                std::int64_t y_column, bool accumulate);

 private:
  struct Product {
    dnnl::matmul primitive;
    memory::desc scratchpad;
    std::string_view kernel;
  };
  dnnl::primitive_attr attributes(bool accumulate) const;
  Product product(std::int64_t rows, const memory::desc& weights, std::int64_t y_stride, DType out_type,
                  bool accumulate);

  std::int64_t in_;
  DType type_;
  Activation activation_;
  memory bias_;
  std::mutex mutex_;                                         // of the products
  std::map<std::array<std::int64_t, 3>, Product> products_;  // by rows, columns and what else there is to them
};

}  // namespace kvpress::onednn
