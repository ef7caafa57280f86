// What oneDNN 2 (Debian 12 has 2.6) and oneDNN 3 (Debian 13 has 3.7) spell differently. All that depends on the version
// is here: no other file asks for it.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <optional>

namespace kvpress::onednn {

using dnnl::memory;

/// A matrix whose elements, or small blocks of them, lie at strides.
struct Blocking {
  memory::dims strides;        ///< elements, by dimension; with inner blocks, from block to block
  memory::dims inner_blocks;   ///< sizes, from the outermost on; empty for a plain matrix
  memory::dims inner_indices;  ///< the dimension that each of them divides
};

/// The rows and columns of a matrix.
struct Extent {
  memory::dims dims;
  memory::dims padded_dims;  ///< with what fills up blocks
};

#if DNNL_VERSION_MAJOR >= 3

inline constexpr dnnl::cpu_isa kAnyIsa = dnnl::cpu_isa::isa_default;

/// The answer of a function that may fail, when it did.
inline bool is_empty(const memory::desc& desc) { return !desc || desc.is_zero(); }

inline Extent extent_of(const memory::desc& desc) { return {desc.get_dims(), desc.get_padded_dims()}; }

/// None for other formats, and for a part of a larger matrix.
inline std::optional<Blocking> blocking_of(const memory::desc& desc) {
  if (desc.get_format_kind() != memory::format_kind::blocked || desc.get_submemory_offset() != 0) return {};
  return Blocking{desc.get_strides(), desc.get_inner_blks(), desc.get_inner_idxs()};
}

/// `bias` may be null.
inline dnnl::matmul::primitive_desc matmul_of(const dnnl::engine& engine, const memory::desc& x,
                                              const memory::desc& weights, const memory::desc* bias,
                                              const memory::desc& y, const dnnl::primitive_attr& attributes) {
  if (bias == nullptr) return {engine, x, weights, y, attributes};
  return {engine, x, weights, *bias, y, attributes};
}

inline void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float alpha) {
  ops.append_eltwise(algorithm, alpha, 0.0f);
}

#else

inline constexpr dnnl::cpu_isa kAnyIsa = dnnl::cpu_isa::all;

inline bool is_empty(const memory::desc& desc) { return desc.is_zero(); }

inline Extent extent_of(const memory::desc& desc) {
  const auto& data = desc.data;
  return {{data.dims, data.dims + data.ndims}, {data.padded_dims, data.padded_dims + data.ndims}};
}

inline std::optional<Blocking> blocking_of(const memory::desc& desc) {
  const auto& data = desc.data;
  if (data.format_kind != dnnl_blocked || data.offset0 != 0 || data.extra.flags != 0) return {};
  const auto& blocking = data.format_desc.blocking;
  const int n = blocking.inner_nblks;
  return Blocking{{blocking.strides, blocking.strides + data.ndims},
                  {blocking.inner_blks, blocking.inner_blks + n},
                  {blocking.inner_idxs, blocking.inner_idxs + n}};
}

inline dnnl::matmul::primitive_desc matmul_of(const dnnl::engine& engine, const memory::desc& x,
                                              const memory::desc& weights, const memory::desc* bias,
                                              const memory::desc& y, const dnnl::primitive_attr& attributes) {
  using desc = dnnl::matmul::desc;
  return {bias == nullptr ? desc(x, weights, y) : desc(x, weights, *bias, y), attributes, engine};
}

inline void append_eltwise(dnnl::post_ops& ops, dnnl::algorithm algorithm, float alpha) {
  ops.append_eltwise(1.0f, algorithm, alpha, 0.0f);
}

#endif

}  // namespace kvpress::onednn
