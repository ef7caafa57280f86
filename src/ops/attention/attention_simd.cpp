#include <algorithm>
#include <cstring>

#include "ops/attention/attention_avx512bf16.h"
#include "ops/attention/attention_kernels.h"
#include "ops/isa.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/attention/attention_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target: these adapt to the target being compiled.
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "ops/attention/attention_softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kvpress::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// 6 rows x 4 vectors of sums fit 32 registers, 6 x 2 fit 16.
constexpr int kRows = 6;
constexpr int kVectors = HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64 ? 4 : 2;

HWY_INLINE std::int64_t tile_keys() { return kVectors * lanes(); }

#if HWY_TARGET == HWY_SCALAR
/// Keys become tiles of tile_keys(): [channel][key].
void PackKeys(const void* from, std::int64_t n, std::int64_t head_dim, void* packed) {
  const auto* keys = static_cast<const float*>(from);
  const std::int64_t padded = (n + kKeyTile - 1) / kKeyTile * kKeyTile;
  const std::int64_t width = tile_keys();
  for (std::int64_t j = 0; j < padded; ++j) {
    float* to = static_cast<float*>(packed) + j / width * width * head_dim + j % width;
    for (std::int64_t c = 0; c < head_dim; ++c) to[c * width] = j < n ? keys[j * head_dim + c] : 0.0f;
  }
}
#else
/// Keys become tiles of tile_keys(): [channel][key]. A transpose, done 4 x 4 at a time.
void PackKeys(const void* from, std::int64_t n, std::int64_t head_dim, void* packed) {
  const hn::Full128<float> d4;
  const hn::RepartitionToWide<decltype(d4)> d2;
  const auto* keys = static_cast<const float*>(from);
  const std::int64_t padded = (n + kKeyTile - 1) / kKeyTile * kKeyTile;
  const std::int64_t width = tile_keys();
  for (std::int64_t j = 0; j < padded; j += 4) {
    float* to = static_cast<float*>(packed) + j / width * width * head_dim + j % width;
    const float* rows = keys + j * head_dim;
    if (j % 16 == 0) {
      // Line by line: the processor's own prefetching follows four rows at once badly.
      for (std::int64_t i = 0; i < std::min<std::int64_t>(16, n - j) * head_dim; i += 16) hwy::Prefetch(rows + i);
    }
    std::int64_t c = 0;
    if (j + 4 <= n) {
      for (; c + 4 <= head_dim; c += 4) {
        const auto x0 = hn::LoadU(d4, rows + c);
        const auto x1 = hn::LoadU(d4, rows + head_dim + c);
        const auto x2 = hn::LoadU(d4, rows + 2 * head_dim + c);
        const auto x3 = hn::LoadU(d4, rows + 3 * head_dim + c);
        const auto a = hn::BitCast(d2, hn::InterleaveLower(d4, x0, x1));
        const auto b = hn::BitCast(d2, hn::InterleaveUpper(d4, x0, x1));
        const auto e = hn::BitCast(d2, hn::InterleaveLower(d4, x2, x3));
        const auto f = hn::BitCast(d2, hn::InterleaveUpper(d4, x2, x3));
        hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(d2, a, e)), d4, to + c * width);
        hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(d2, a, e)), d4, to + (c + 1) * width);
        hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(d2, b, f)), d4, to + (c + 2) * width);
        hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(d2, b, f)), d4, to + (c + 3) * width);
      }
    }
    for (; c < head_dim; ++c) {
      for (std::int64_t i = 0; i < 4; ++i) to[c * width + i] = j + i < n ? rows[i * head_dim + c] : 0.0f;
    }
  }
}
#endif

/// Values stay rows, filled up with zeros.
void PackValues(const void* from, std::int64_t n, std::int64_t head_dim, void* packed) {
  const auto* values = static_cast<const float*>(from);
  const std::int64_t cols = padded_head_dim(head_dim);
  const std::int64_t padded = (n + kKeyTile - 1) / kKeyTile * kKeyTile;
  auto* to = static_cast<float*>(packed);
  if (cols == head_dim) {
    std::memcpy(to, values, static_cast<std::size_t>(n * cols) * sizeof(float));
  } else {
    for (std::int64_t j = 0; j < n; ++j) {
      std::memcpy(to + j * cols, values + j * head_dim, static_cast<std::size_t>(head_dim) * sizeof(float));
      std::memset(to + j * cols + head_dim, 0, static_cast<std::size_t>(cols - head_dim) * sizeof(float));
    }
  }
  std::memset(to + n * cols, 0, static_cast<std::size_t>((padded - n) * cols) * sizeof(float));
}

/// sums[r][v] += x[r * x_stride + i] * y[i * y_stride + v], for i < n: the inner loop of both products.
template <int Rows, int Vectors>
HWY_INLINE void multiply(const float* x, std::int64_t x_stride, const float* y, std::int64_t y_stride, std::int64_t n,
                         V (&sums)[Rows][Vectors]) {
  const D d;
  for (std::int64_t i = 0; i < n; ++i) {
    V column[Vectors];
    HWY_UNROLL(4)
    for (int v = 0; v < Vectors; ++v) column[v] = hn::LoadU(d, y + i * y_stride + v * lanes());
    HWY_UNROLL(6)
    for (int r = 0; r < Rows; ++r) {
      const V row = hn::Set(d, x[r * x_stride + i]);
      HWY_UNROLL(4)
      for (int v = 0; v < Vectors; ++v) sums[r][v] = hn::MulAdd(row, column[v], sums[r][v]);
    }
  }
}

template <int Rows>
void ScoreTile(const float* queries, std::int64_t head_dim, const float* keys, float* scores, bool accumulate) {
  const D d;
  V sums[Rows][kVectors];
  HWY_UNROLL(6)
  for (int r = 0; r < Rows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v] = accumulate ? hn::LoadU(d, scores + r * kKeyBlock + v * lanes()) : hn::Zero(d);
    }
  }
  multiply<Rows, kVectors>(queries, head_dim, keys, tile_keys(), head_dim, sums);
  HWY_UNROLL(6)
  for (int r = 0; r < Rows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[r][v], d, scores + r * kKeyBlock + v * lanes());
  }
}

/// accumulated = accumulated * correction + weights . values, for Rows rows and some channels.
template <int Rows, int Vectors>
void WeighTile(const float* weights, std::int64_t n_keys, const float* values, std::int64_t cols,
               const float* correction, float* out) {
  const D d;
  V sums[Rows][Vectors];
  HWY_UNROLL(6)
  for (int r = 0; r < Rows; ++r) {
    const V factor = hn::Set(d, correction[r]);
    HWY_UNROLL(4)
    for (int v = 0; v < Vectors; ++v) sums[r][v] = hn::Mul(factor, hn::LoadU(d, out + r * cols + v * lanes()));
  }
  multiply<Rows, Vectors>(weights, kKeyBlock, values, cols, n_keys, sums);
  HWY_UNROLL(6)
  for (int r = 0; r < Rows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < Vectors; ++v) hn::StoreU(sums[r][v], d, out + r * cols + v * lanes());
  }
}

template <int Rows>
void WeighRows(const float* weights, std::int64_t n_keys, const float* values, std::int64_t cols,
               const float* correction, float* out) {
  std::int64_t c = 0;
  for (; c + kVectors * lanes() <= cols; c += kVectors * lanes()) {
    WeighTile<Rows, kVectors>(weights, n_keys, values + c, cols, correction, out + c);
  }
  for (; c < cols; c += lanes()) WeighTile<Rows, 1>(weights, n_keys, values + c, cols, correction, out + c);
}

/// Calls f.operator()<Rows>(first row) for tiles of 6 rows and one of the rest.
template <typename F>
HWY_INLINE void for_row_tiles(std::int64_t n_rows, F f) {
  for (std::int64_t r = 0; r < n_rows; r += kRows) {
    switch (n_rows - r) {
      case 1:
        f.template operator()<1>(r);
        break;
      case 2:
        f.template operator()<2>(r);
        break;
      case 3:
        f.template operator()<3>(r);
        break;
      case 4:
        f.template operator()<4>(r);
        break;
      case 5:
        f.template operator()<5>(r);
        break;
      default:
        f.template operator()<kRows>(r);
    }
  }
}

struct ScoreTiles {
  const float* queries;
  std::int64_t head_dim;
  const float* keys;
  float* scores;
  bool accumulate;
  template <int Rows>
  void operator()(std::int64_t r) const {
    ScoreTile<Rows>(queries + r * head_dim, head_dim, keys, scores + r * kKeyBlock, accumulate);
  }
};

struct WeighTiles {
  const float* weights;
  std::int64_t n_keys;
  const float* values;
  std::int64_t cols;
  const float* correction;
  float* out;
  template <int Rows>
  void operator()(std::int64_t r) const {
    WeighRows<Rows>(weights + r * kKeyBlock, n_keys, values, cols, correction + r, out + r * cols);
  }
};

void Scores(const void* queries, std::int64_t n_rows, std::int64_t head_dim, const void* keys, std::int64_t n_keys,
            float* scores, bool accumulate) {
  for (std::int64_t j = 0; j < n_keys; j += tile_keys()) {
    for_row_tiles(n_rows, ScoreTiles{static_cast<const float*>(queries), head_dim,
                                     static_cast<const float*>(keys) + j * head_dim, scores + j, accumulate});
  }
}

/// `weights` may be null.
void Attend(const AttentionRows& rows, const void* keys, const void* values, const std::int32_t* seen, float* weights) {
  HWY_ALIGN float own_scores[kRowGroup * kKeyBlock];
  float correction[kRowGroup];
  const std::int64_t cols = padded_head_dim(rows.head_dim);
  for (std::int64_t first = 0; first < rows.n_rows; first += kRowGroup) {
    const std::int64_t n = std::min(kRowGroup, rows.n_rows - first);
    const std::int64_t most = *std::max_element(seen + first, seen + first + n);
    if (most == 0) continue;
    const std::int64_t n_keys = (most + kKeyTile - 1) / kKeyTile * kKeyTile;
    float* scores = weights == nullptr ? own_scores : weights + first * kKeyBlock;
    Scores(static_cast<const float*>(rows.queries) + first * rows.head_dim, n, rows.head_dim, keys, n_keys, scores,
           false);
    cap_scores(scores, n, n_keys, rows.soft_cap);
    hide_entries(scores, n, rows.hidden == nullptr ? nullptr : rows.hidden + first);
    for (std::int64_t r = 0; r < n; ++r) {
      const std::int64_t i = first + r;
      correction[r] =
          weigh_scores(scores + r * kKeyBlock, seen[i], n_keys, rows.factor, rows.row_max[i], rows.row_sum[i]);
    }
    for_row_tiles(n, WeighTiles{scores, most, static_cast<const float*>(values), cols, correction,
                                rows.accumulated + first * cols});
  }
}

void AddRowSums(const float* scores, std::int64_t n_rows, const std::int32_t* seen, float factor, float* row_max,
                float* row_sum) {
  for (std::int64_t r = 0; r < n_rows; ++r) {
    if (seen[r] == 0) continue;
    auto* row = const_cast<float*>(scores) + r * kKeyBlock;  // not written: kStore is off
    const float max = std::max(row_max[r], largest(row, seen[r], factor));
    row_sum[r] = row_sum[r] * power(row_max[r] - max) + exponentials<false>(row, seen[r], seen[r], factor, max);
    row_max[r] = max;
  }
}

void AddColumns(const float* scores, std::int64_t n_rows, const std::int32_t* seen, float factor, const float* shift,
                float* sums) {
  const D d;
  const V by = hn::Set(d, factor);
  const std::int64_t most = n_rows == 0 ? 0 : *std::max_element(seen, seen + n_rows);
  const std::int64_t least = n_rows == 0 ? 0 : *std::min_element(seen, seen + n_rows);
  for (std::int64_t j = 0; j < most; j += lanes()) {
    V sum0 = hn::Zero(d);
    V sum1 = hn::Zero(d);
    std::int64_t r = 0;
    if (j + lanes() <= least) {
      for (; r + 2 <= n_rows; r += 2) {
        const float* at = scores + r * kKeyBlock + j;
        sum0 = hn::Add(sum0, exp2_fast(hn::MulSub(by, hn::LoadU(d, at), hn::Set(d, shift[r]))));
        sum1 = hn::Add(sum1, exp2_fast(hn::MulSub(by, hn::LoadU(d, at + kKeyBlock), hn::Set(d, shift[r + 1]))));
      }
    }
    for (; r < n_rows; ++r) {
      if (seen[r] <= j) continue;
      const V e = exp2_fast(hn::MulSub(by, hn::LoadU(d, scores + r * kKeyBlock + j), hn::Set(d, shift[r])));
      sum0 = hn::Add(sum0, hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(seen[r] - j)), e));
    }
    hn::StoreU(hn::Add(hn::LoadU(d, sums + j), hn::Add(sum0, sum1)), d, sums + j);
  }
}

void AddWeightedColumns(const float* weights, std::int64_t n_rows, const std::int32_t* seen, const float* exponents,
                        float* sums) {
  const D d;
  const std::int64_t most = n_rows == 0 ? 0 : *std::max_element(seen, seen + n_rows);
  float factors[kRowGroup];
  for (std::int64_t r = 0; r < n_rows; ++r) factors[r] = power(exponents[r]);
  for (std::int64_t j = 0; j < most; j += 4 * lanes()) {  // tiles are filled up: four vectors may be read
    V sum[4];
    HWY_UNROLL(4)
    for (int v = 0; v < 4; ++v) sum[v] = hn::LoadU(d, sums + j + v * lanes());
    for (std::int64_t r = 0; r < n_rows; ++r) {
      const V factor = hn::Set(d, factors[r]);
      HWY_UNROLL(4)
      for (int v = 0; v < 4; ++v) {
        sum[v] = hn::MulAdd(factor, hn::LoadU(d, weights + r * kKeyBlock + j + v * lanes()), sum[v]);
      }
    }
    HWY_UNROLL(4)
    for (int v = 0; v < 4; ++v) hn::StoreU(sum[v], d, sums + j + v * lanes());
  }
}

void MaxColumns(const float* scores, std::int64_t n_rows, const std::int32_t* seen, float factor, const float* shift,
                float* maxima) {
  const D d;
  const V by = hn::Set(d, factor);
  const V nothing = hn::Set(d, kNoMax);
  const std::int64_t most = n_rows == 0 ? 0 : *std::max_element(seen, seen + n_rows);
  for (std::int64_t j = 0; j < most; j += lanes()) {
    V max = hn::LoadU(d, maxima + j);
    for (std::int64_t r = 0; r < n_rows; ++r) {
      if (seen[r] <= j) continue;
      V e = hn::MulSub(by, hn::LoadU(d, scores + r * kKeyBlock + j), hn::Set(d, shift[r]));
      if (seen[r] < j + lanes()) e = hn::IfThenElse(hn::FirstN(d, static_cast<std::size_t>(seen[r] - j)), e, nothing);
      max = hn::Max(max, e);
    }
    hn::StoreU(max, d, maxima + j);
  }
}

void MergeRows(const AttentionRows& rows, const AttentionRows& other) {
  const D d;
  const std::int64_t cols = padded_head_dim(rows.head_dim);
  for (std::int64_t r = 0; r < rows.n_rows; ++r) {
    const float max = std::max(rows.row_max[r], other.row_max[r]);
    const float a = power(rows.row_max[r] - max);
    const float b = power(other.row_max[r] - max);
    rows.row_max[r] = max;
    rows.row_sum[r] = rows.row_sum[r] * a + other.row_sum[r] * b;
    float* to = rows.accumulated + r * cols;
    const float* from = other.accumulated + r * cols;
    for (std::int64_t c = 0; c < cols; c += lanes()) {
      const V scaled = hn::Mul(hn::LoadU(d, to + c), hn::Set(d, a));
      hn::StoreU(hn::MulAdd(hn::LoadU(d, from + c), hn::Set(d, b), scaled), d, to + c);
    }
  }
}

}  // namespace kvpress::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpress {

HWY_EXPORT(PackKeys);
HWY_EXPORT(PackValues);
HWY_EXPORT(Attend);
HWY_EXPORT(Scores);
HWY_EXPORT(AddRowSums);
HWY_EXPORT(AddColumns);
HWY_EXPORT(AddWeightedColumns);
HWY_EXPORT(MaxColumns);
HWY_EXPORT(MergeRows);

const AttentionKernels& float_attention_kernels() {
  static const AttentionKernels kernels{
      4,
      [](const void* keys, std::int64_t n, std::int64_t head_dim, void* packed) {
        HWY_DYNAMIC_DISPATCH(PackKeys)(keys, n, head_dim, packed);
      },
      [](const void* values, std::int64_t n, std::int64_t head_dim, void* packed) {
        HWY_DYNAMIC_DISPATCH(PackValues)(values, n, head_dim, packed);
      },
      [](const AttentionRows& rows, const void* keys, const void* values, const std::int32_t* seen) {
        HWY_DYNAMIC_DISPATCH(Attend)(rows, keys, values, seen, nullptr);
      },
      [](const AttentionRows& rows, const void* keys, const void* values, const std::int32_t* seen, float* weights) {
        HWY_DYNAMIC_DISPATCH(Attend)(rows, keys, values, seen, weights);
      },
      [](const void* queries, std::int64_t n_rows, std::int64_t head_dim, const void* keys, std::int64_t n_keys,
         float* scores, bool accumulate) {
        HWY_DYNAMIC_DISPATCH(Scores)(queries, n_rows, head_dim, keys, n_keys, scores, accumulate);
      },
      attend_few_float};
  return kernels;
}

const AttentionKernels* bf16_attention_kernels() {
  return has_fast_bfloat16() ? avx512bf16_attention_kernels() : nullptr;
}

void add_row_sums(const float* scores, std::int64_t n_rows, const std::int32_t* seen, float factor, float* row_max,
                  float* row_sum) {
  HWY_DYNAMIC_DISPATCH(AddRowSums)(scores, n_rows, seen, factor, row_max, row_sum);
}

void add_columns(const float* scores, std::int64_t n_rows, const std::int32_t* seen, float factor, const float* shift,
                 float* sums) {
  HWY_DYNAMIC_DISPATCH(AddColumns)(scores, n_rows, seen, factor, shift, sums);
}

void add_weighted_columns(const float* weights, std::int64_t n_rows, const std::int32_t* seen, const float* exponents,
                          float* sums) {
  HWY_DYNAMIC_DISPATCH(AddWeightedColumns)(weights, n_rows, seen, exponents, sums);
}

void max_columns(const float* scores, std::int64_t n_rows, const std::int32_t* seen, float factor, const float* shift,
                 float* maxima) {
  HWY_DYNAMIC_DISPATCH(MaxColumns)(scores, n_rows, seen, factor, shift, maxima);
}

void merge_rows(const AttentionRows& rows, const AttentionRows& other) { HWY_DYNAMIC_DISPATCH(MergeRows)(rows, other); }

}  // namespace kvpress
#endif  // HWY_ONCE
