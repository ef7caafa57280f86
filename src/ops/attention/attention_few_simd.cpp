// Attention of a few rows straight from the cache, as decoding needs it, in float32: over keys and values as they
// stand, and over those in 8 and 4 bits, whose codes are multiplied as they are. Each entry is read from memory once
// for all rows.
#include <algorithm>
#include <cstdint>

#include "kvpress/base/dtype.h"
#include "kvpress/ops/attention/quantized_kv.h"
#include "ops/attention/attention_kernels.h"
#include "ops/rowwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/attention/attention_few_simd.cpp"
#include <hwy/foreach_target.h>
// After foreach_target: these adapt to the target being compiled.
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "ops/attention/attention_softmax-inl.h"
#include "ops/load-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kvpress::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using i64 = std::int64_t;

constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));

/// Calls f.operator()<Rows>(first row), from row r on, for tiles of MostRows rows and then of fewer.
template <int MostRows, typename F>
HWY_INLINE void for_few_rows(i64 n_rows, const F& f, i64 r = 0) {
  for (; r + MostRows <= n_rows; r += MostRows) f.template operator()<MostRows>(r);
  if constexpr (MostRows > 1) {
    if (r < n_rows) for_few_rows<MostRows - 1>(n_rows, f, r);
  }
}

// ---- Keys and values as they stand, in float32 or two bytes.

/// So far ahead of the loads memory is asked for, in bytes.
constexpr i64 kAhead = 2048;

/// Asks for the bytes that follow.
HWY_INLINE void ask_ahead(const void* at) { hwy::Prefetch(static_cast<const char*>(at) + kAhead); }

#if HWY_TARGET == HWY_SCALAR
template <typename T>
void ScoreKeys(const float* queries, i64 n_rows, i64 head_dim, const T* keys, i64 n_keys, float* scores) {
  for (i64 r = 0; r < n_rows; ++r) {
    for (i64 j = 0; j < n_keys; ++j) {
      float sum = 0;
      for (i64 c = 0; c < head_dim; ++c) sum += queries[r * head_dim + c] * to_float(keys[j * head_dim + c]);
      scores[r * kKeyBlock + j] = sum;
    }
  }
}
#else
using D8 = hn::CappedTag<float, 8>;
using V8 = hn::Vec<D8>;
constexpr int kKeys = static_cast<int>(hn::MaxLanes(D8()));

/// Four registers to one: lane k of each 128 bits is the sum of those 128 bits of x[k].
HWY_INLINE V8 sum_quads(const V8* x) {
  const D8 d;
  const hn::RepartitionToWide<D8> pairs;
  const V8 a = hn::Add(hn::InterleaveLower(d, x[0], x[1]), hn::InterleaveUpper(d, x[0], x[1]));
  const V8 b = hn::Add(hn::InterleaveLower(d, x[2], x[3]), hn::InterleaveUpper(d, x[2], x[3]));
  const auto low = hn::InterleaveLower(pairs, hn::BitCast(pairs, a), hn::BitCast(pairs, b));
  const auto high = hn::InterleaveUpper(pairs, hn::BitCast(pairs, a), hn::BitCast(pairs, b));
  return hn::Add(hn::BitCast(d, low), hn::BitCast(d, high));
}

/// kKeys registers to one: lane k is the sum of x[k]'s lanes.
HWY_INLINE V8 sum_each(const V8 (&x)[kKeys]) {
  const V8 first = sum_quads(x);
  if constexpr (kKeys == 4) {
    return first;
  } else {
    const D8 d;
    const V8 second = sum_quads(x + kKeys - 4);
    return hn::Add(hn::ConcatLowerLower(d, second, first), hn::ConcatUpperUpper(d, second, first));
  }
}

/// scores[r][0..n_keys) of all rows, n_keys filled up to whole registers with what the last key gives.
template <typename T>
void ScoreKeys(const float* queries, i64 n_rows, i64 head_dim, const T* keys, i64 n_keys, float* scores) {
  const D8 d;
  constexpr i64 kLine = 64 / sizeof(T);
  for (i64 first = 0; first < n_keys; first += kKeys) {
    const T* at[kKeys];
    for (int k = 0; k < kKeys; ++k) {
      at[k] = keys + std::min(first + k, n_keys - 1) * head_dim;
      for (i64 c = 0; c < head_dim; c += kLine) ask_ahead(at[k] + c);
    }
    for (i64 r = 0; r < n_rows; ++r) {
      V8 sums[kKeys];
      HWY_UNROLL(8)
      for (int k = 0; k < kKeys; ++k) sums[k] = hn::Zero(d);
      for (i64 c = 0; c < head_dim; c += kKeys) {
        const V8 query = hn::LoadU(d, queries + r * head_dim + c);
        HWY_UNROLL(8)
        for (int k = 0; k < kKeys; ++k) sums[k] = hn::MulAdd(query, load(d, at[k] + c), sums[k]);
      }
      hn::StoreU(sum_each(sums), d, scores + r * kKeyBlock + first);
    }
  }
}
#endif

/// accumulated = accumulated * correction + weights . values, for Rows rows and Vectors registers of channels at a
/// time, fewer at the end.
template <int Rows, int Vectors, typename T>
HWY_INLINE void weigh_values(const float* weights, i64 n_keys, const T* values, i64 head_dim, i64 c,
                             const float* correction, float* out) {
  const D d;
  for (; c + Vectors * kLanes <= head_dim; c += Vectors * kLanes) {
    V sums[Rows][Vectors];
    HWY_UNROLL(6)
    for (int r = 0; r < Rows; ++r) {
      HWY_UNROLL(8)
      for (int v = 0; v < Vectors; ++v) sums[r][v] = hn::Zero(d);
    }
    const T* row = values + c;
    for (i64 j = 0; j < n_keys; ++j, row += head_dim) {
      V value[Vectors];
      HWY_UNROLL(8)
      for (int v = 0; v < Vectors; ++v) {
        ask_ahead(row + v * kLanes);
        value[v] = load(d, row + v * kLanes);
      }
      HWY_UNROLL(6)
      for (int r = 0; r < Rows; ++r) {
        const V weight = hn::Set(d, weights[r * kKeyBlock + j]);
        HWY_UNROLL(8)
        for (int v = 0; v < Vectors; ++v) sums[r][v] = hn::MulAdd(weight, value[v], sums[r][v]);
      }
    }
    HWY_UNROLL(6)
    for (int r = 0; r < Rows; ++r) {
      HWY_UNROLL(8)
      for (int v = 0; v < Vectors; ++v) {
        float* to = out + r * head_dim + c + v * kLanes;
        hn::StoreU(hn::MulAdd(hn::LoadU(d, to), hn::Set(d, correction[r]), sums[r][v]), d, to);
      }
    }
  }
  if constexpr (Vectors > 1) weigh_values<Rows, Vectors / 2>(weights, n_keys, values, head_dim, c, correction, out);
}

template <typename T>
struct WeighFew {
  const float* weights;
  i64 n_keys;
  const T* values;
  i64 head_dim;
  const float* correction;
  float* out;
  template <int Rows>
  HWY_INLINE void operator()(i64 r) const {
    constexpr int kVectors = Rows == 1 ? 8 : Rows <= 3 ? 4 : 2;  // sums in at most 12 of 16 registers
    weigh_values<Rows, kVectors>(weights + r * kKeyBlock, n_keys, values, head_dim, 0, correction + r,
                                 out + r * head_dim);
  }
};

/// Scores become weights, row by row.
HWY_INLINE void weigh_all(const AttentionRows& rows, const std::int32_t* seen, i64 n_keys, float* scores,
                          float* correction) {
  cap_scores(scores, rows.n_rows, n_keys, rows.soft_cap);
  hide_entries(scores, rows.n_rows, rows.hidden);
  const i64 padded = (n_keys + kKeyTile - 1) / kKeyTile * kKeyTile;
  for (i64 r = 0; r < rows.n_rows; ++r) {
    correction[r] =
        weigh_scores(scores + r * kKeyBlock, seen[r], padded, rows.factor, rows.row_max[r], rows.row_sum[r]);
  }
}

template <typename T>
void attend_few(const AttentionRows& rows, const T* keys, const T* values, const std::int32_t* seen) {
  HWY_ALIGN float scores[kAttendFewRows * kKeyBlock];
  float correction[kAttendFewRows];
  const i64 n_keys = *std::max_element(seen, seen + rows.n_rows);
  if (n_keys == 0) return;
  ScoreKeys(static_cast<const float*>(rows.queries), rows.n_rows, rows.head_dim, keys, n_keys, scores);
  weigh_all(rows, seen, n_keys, scores, correction);
  for_few_rows<kAttendFewRows>(rows.n_rows,
                               WeighFew<T>{scores, n_keys, values, rows.head_dim, correction, rows.accumulated});
}

void AttendFew(const AttentionRows& rows, DType type, const void* keys, const void* values, const std::int32_t* seen) {
  switch (type) {
    case DType::f32:
      return attend_few(rows, static_cast<const float*>(keys), static_cast<const float*>(values), seen);
    case DType::bf16:
      return attend_few(rows, static_cast<const bf16*>(keys), static_cast<const bf16*>(values), seen);
    case DType::f16:
      return attend_few(rows, static_cast<const f16*>(keys), static_cast<const f16*>(values), seen);
  }
}

// ---- Keys and values in 8 and 4 bits.

constexpr i64 kGroups = kKeyBlock / kKVGroup;

/// A line is taken some vectors at a time, so that the sums of Rows rows stay in registers, of which AVX2 has 16.
template <int Rows>
constexpr int kPartVectors = Rows <= 2 && kLanes <= 8 ? 4 : 2;
template <int Vectors>
constexpr int kParts = static_cast<int>(kKVGroup) / (Vectors * kLanes);

/// Vectors of a part of a line, as floats.
template <int Bits, int Vectors>
HWY_INLINE void load_part(const std::uint8_t* line, int part, V (&codes)[Vectors]) {
  const D d;
  const hn::RebindToSigned<D> d32;
  const hn::Rebind<std::uint8_t, D> d8;
  if constexpr (Bits == 8) {
    HWY_UNROLL(4)
    for (int v = 0; v < Vectors; ++v) {
      codes[v] = hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d8, line + (part * Vectors + v) * kLanes)));
    }
  } else {
    constexpr int kHalf = Vectors / 2;
    HWY_UNROLL(2)
    for (int v = 0; v < kHalf; ++v) {
      const auto both = hn::PromoteTo(d32, hn::LoadU(d8, line + (part * kHalf + v) * kLanes));
      codes[v] = hn::ConvertTo(d, hn::And(both, hn::Set(d32, 15)));
      codes[v + kHalf] = hn::ConvertTo(d, hn::ShiftRight<4>(both));
    }
  }
}

/// Which number of the line vector v of a part begins with.
template <int Bits, int Vectors>
constexpr i64 first_number(int part, int v) {
  if (Bits == 8) return (part * Vectors + v) * kLanes;
  constexpr int kHalf = Vectors / 2;
  return v < kHalf ? (part * kHalf + v) * kLanes : kKVGroup / 2 + (part * kHalf + v - kHalf) * kLanes;
}

/// sums[r] += x[r * x_stride + i] * a part of line i, for i < n.
template <int Rows, int Bits, int Vectors>
HWY_INLINE void multiply_lines(const float* x, i64 x_stride, const std::uint8_t* lines, i64 n, int part,
                               V (&sums)[Rows][Vectors]) {
  const D d;
  for (i64 i = 0; i < n; ++i) {
    V codes[Vectors];
    load_part<Bits>(lines + i * kKVGroup * Bits / 8, part, codes);
    HWY_UNROLL(6)
    for (int r = 0; r < Rows; ++r) {
      const V factor = hn::Set(d, x[r * x_stride + i]);
      HWY_UNROLL(4)
      for (int v = 0; v < Vectors; ++v) sums[r][v] = hn::MulAdd(factor, codes[v], sums[r][v]);
    }
  }
}

template <int Rows, int Vectors>
HWY_INLINE void clear(V (&sums)[Rows][Vectors]) {
  HWY_UNROLL(6)
  for (int r = 0; r < Rows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < Vectors; ++v) sums[r][v] = hn::Zero(D());
  }
}

/// to := a * b; returns the sum of a * c. For n numbers, a multiple of 16 or any.
HWY_INLINE float scale_and_sum(const float* a, const float* b, const float* c, i64 n, float* to) {
  const D d;
  V sum = hn::Zero(d);
  i64 i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const V x = hn::LoadU(d, a + i);
    hn::StoreU(hn::Mul(x, hn::LoadU(d, b + i)), d, to + i);
    sum = hn::MulAdd(x, hn::LoadU(d, c + i), sum);
  }
  float rest = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < n; ++i) {
    to[i] = a[i] * b[i];
    rest += a[i] * c[i];
  }
  return rest;
}

/// scores[r][0..32) of one group: (query * scale) . codes + query . least.
template <int Bits>
struct ScoreGroup {
  const float* queries;
  i64 head_dim;
  const float* scales;  // then the least values
  const std::uint8_t* codes;
  float* scores;
  template <int Rows>
  HWY_INLINE void operator()(i64 first) const {
    const D d;
    HWY_ALIGN float scaled[Rows * kFewQuantizedHeadDim];
    float base[Rows];
    for (int r = 0; r < Rows; ++r) {
      base[r] = scale_and_sum(queries + (first + r) * head_dim, scales, scales + head_dim, head_dim,
                              scaled + r * kFewQuantizedHeadDim);
    }
    constexpr int kVectors = kPartVectors<Rows>;
    for (int part = 0; part < kParts<kVectors>; ++part) {
      V sums[Rows][kVectors];
      clear(sums);
      multiply_lines<Rows, Bits>(scaled, kFewQuantizedHeadDim, codes, head_dim, part, sums);
      HWY_UNROLL(6)
      for (int r = 0; r < Rows; ++r) {
        HWY_UNROLL(4)
        for (int v = 0; v < kVectors; ++v) {
          hn::StoreU(hn::Add(sums[r][v], hn::Set(d, base[r])), d,
                     scores + (first + r) * kKeyBlock + first_number<Bits, kVectors>(part, v));
        }
      }
    }
  }
};

/// accumulated = accumulated * correction + weights . values, over all groups, for 32 channels from `channel` on.
template <int Bits>
struct WeighGroups {
  const float* weights;
  i64 n_groups;
  const float* scales;  // of each group [2][n_lines]
  i64 n_lines;
  const std::byte* blocks;
  i64 channel;
  const float* correction;
  float* out;
  i64 cols;
  template <int Rows>
  HWY_INLINE void operator()(i64 first) const {
    const D d;
    const auto block_bytes = static_cast<i64>(kv_block_bytes(n_lines, Bits));
    HWY_ALIGN float scaled[Rows * kKeyBlock];
    float base[Rows] = {};
    for (i64 g = 0; g < n_groups; ++g) {
      const float* scale = scales + g * 2 * n_lines + channel;  // lines of 32 channels: as many as channels
      for (int r = 0; r < Rows; ++r) {
        base[r] += scale_and_sum(weights + (first + r) * kKeyBlock + g * kKVGroup, scale, scale + n_lines, kKVGroup,
                                 scaled + r * kKeyBlock + g * kKVGroup);
      }
    }
    constexpr int kVectors = kPartVectors<Rows>;
    for (int part = 0; part < kParts<kVectors>; ++part) {
      V sums[Rows][kVectors];
      clear(sums);
      for (i64 g = 0; g < n_groups; ++g) {
        const auto* codes = reinterpret_cast<const std::uint8_t*>(blocks + g * block_bytes) + 4 * n_lines;
        multiply_lines<Rows, Bits>(scaled + g * kKVGroup, kKeyBlock, codes + channel * kKVGroup * Bits / 8, kKVGroup,
                                   part, sums);
      }
      for (int r = 0; r < Rows; ++r) {
        float* to = out + (first + r) * cols + channel;
        for (int v = 0; v < kVectors; ++v) {
          const i64 at = first_number<Bits, kVectors>(part, v);
          if (channel + at >= cols) continue;
          const V added = hn::Add(sums[r][v], hn::Set(d, base[r]));
          hn::StoreU(hn::MulAdd(hn::LoadU(d, to + at), hn::Set(d, correction[first + r]), added), d, to + at);
        }
      }
    }
  }
};

/// Asks for bytes that are soon to be read.
HWY_INLINE void ask_for(const std::byte* at, i64 n) {
  for (i64 i = 0; i < n; i += 64) hwy::Prefetch(at + i);
}

template <int Bits>
void attend_quantized(const AttentionRows& rows, const QuantizedKV& kv, i64 first, i64 n, const std::int32_t* seen) {
  const i64 d = rows.head_dim;
  const i64 n_groups = n / kKVGroup;
  HWY_ALIGN float scores[kAttendFewRows * kKeyBlock];
  HWY_ALIGN float scales[2 * kGroups * kFewQuantizedHeadDim];
  float correction[kAttendFewRows];
  const i64 n_lines = value_lines(d);
  const i64 key_bytes = static_cast<i64>(kv_block_bytes(d, Bits));
  const i64 value_bytes = static_cast<i64>(kv_block_bytes(n_lines, Bits));
  const std::byte* keys = kv.keys + (first - kv.n_thin) / kKVGroup * key_bytes;
  const std::byte* values = kv.values + first / kKVGroup * value_bytes;
  for (i64 g = 0; g < n_groups; ++g, keys += key_bytes) {
    ask_for(keys + key_bytes, key_bytes);
    ask_for(values + g * value_bytes, value_bytes);
    to_float(keys, DType::f16, scales, 2 * d);
    const auto* codes = reinterpret_cast<const std::uint8_t*>(keys) + 4 * d;
    for_few_rows<kAttendFewRows>(rows.n_rows, ScoreGroup<Bits>{static_cast<const float*>(rows.queries), d, scales,
                                                               codes, scores + g * kKVGroup});
  }
  weigh_all(rows, seen, n, scores, correction);
  for (i64 g = 0; g < n_groups; ++g) {
    to_float(values + g * value_bytes, DType::f16, scales + g * 2 * n_lines, 2 * n_lines);
  }
  for (i64 c = 0; c < d; c += kKVGroup) {
    for_few_rows<kAttendFewRows>(rows.n_rows, WeighGroups<Bits>{scores, n_groups, scales, n_lines, values, c,
                                                                correction, rows.accumulated, padded_head_dim(d)});
  }
}

void AttendFewQuantized(const AttentionRows& rows, const QuantizedKV& kv, i64 first, i64 n, const std::int32_t* seen) {
  if (*std::max_element(seen, seen + rows.n_rows) == 0) return;
  if (kv.bits == 8) {
    attend_quantized<8>(rows, kv, first, n, seen);
  } else {
    attend_quantized<4>(rows, kv, first, n, seen);
  }
}

}  // namespace kvpress::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kvpress {

HWY_EXPORT(AttendFew);
HWY_EXPORT(AttendFewQuantized);

void attend_few_float(const AttentionRows& rows, DType type, const void* keys, const void* values,
                      const std::int32_t* seen) {
  HWY_DYNAMIC_DISPATCH(AttendFew)(rows, type, keys, values, seen);
}

void attend_few_quantized(const AttentionRows& rows, const QuantizedKV& kv, std::int64_t first, std::int64_t n,
                          const std::int32_t* seen) {
  HWY_DYNAMIC_DISPATCH(AttendFewQuantized)(rows, kv, first, n, seen);
}

}  // namespace kvpress
#endif  // HWY_ONCE
