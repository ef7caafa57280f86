// Losses on tiles, for files that have included a class Tiles. Hidden states are the first operand of the tiles and
// weights the second, as oneDNN packs them for its own products; so weights are read in place, and a row of logits
// comes out as vectors of words.
#pragma once

#include "ops/loss/loss_tiles.h"
#include "ops/tiles/tile_product-inl.h"

namespace kvpress {
namespace {

/// Stands for words that there are not: they weigh nothing.
constexpr float kNoWord = -1e30f;

/// Where a row's sum, in any lane, must be for its reference to stay as it is.
constexpr float kMostOfSum = 0x1p60f;

/// The columns behind the first n of each row.
inline void fill_behind(float* logits, i64 n, float value) {
  if (n == kTiledColumns) return;
  for (i64 r = 0; r < kTiledRows; ++r) {
    for (i64 c = n; c < kTiledColumns; ++c) logits[r * kTiledColumns + c] = value;
  }
}

/// Caps logits; those of a row that has some that are not finite must not come out finite.
void cap(const LossWords& words, float* logits) {
  u32 bad_rows = 0;
  for (i64 r = 0; r < kTiledRows; ++r) {
    __m512 nothing = _mm512_setzero_ps();
    for (int v = 0; v < kVectors; ++v) {
      nothing = _mm512_fmadd_ps(_mm512_load_ps(logits + r * kTiledColumns + v * kLanes), _mm512_setzero_ps(), nothing);
    }
    if (_mm512_cmp_ps_mask(nothing, nothing, _CMP_UNORD_Q) != 0) bad_rows |= 1u << r;
  }
  words.apply_cap(logits, kProducts, words.cap);
  for (i64 r = 0; r < kTiledRows; ++r) {
    if ((bad_rows >> r & 1u) != 0) logits[r * kTiledColumns] = __builtin_nanf("");
  }
}

/// Logits of 32 rows as they are to be looked at.
void make_logits(Tiles& tiles, const TiledRows& rows, i64 group, const LossWords& words, float* logits) {
  multiply(tiles, rows.tiles + group * rows.n_steps * 2 * kTileHalves, rows.n_steps, words.weights, logits);
  if (words.cap > 0) {
    fill_behind(logits, words.weights.n_columns, 0);
    cap(words, logits);
  }
  fill_behind(logits, words.weights.n_columns, kNoWord);
}

/// A row's sums of 2^(logit * log2(e) - reference).
class EntropyRow {
 public:
  EntropyRow() {
    hold(log2e_);
    hold(zero_);
  }

  /// Takes the row's logits into its sums.
  void take(const float* logits, float* lanes, float& reference) const {
    __m512 sum = _mm512_add_ps(_mm512_load_ps(lanes), powers(logits, reference));
    if (_mm512_cmp_ps_mask(sum, _mm512_set1_ps(kMostOfSum), _CMP_NLE_UQ) != 0) {
      sum = move_reference(logits, lanes, reference);
    }
    _mm512_store_ps(lanes, sum);
  }

 private:
  /// Their sum; no number in a lane with a logit that is not finite.
  __m512 powers(const float* logits, float reference) const {
    const __m512 less = _mm512_set1_ps(reference);
    __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    __m512 nothing = _mm512_setzero_ps();
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const __m512 logit = _mm512_load_ps(logits + v * kLanes);
      sum[v % 2] = _mm512_add_ps(sum[v % 2], exponential_.of(_mm512_fmsub_ps(logit, log2e_, less)));
      nothing = _mm512_fmadd_ps(logit, zero_, nothing);
    }
    return _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), nothing);
  }

  /// The reference follows the largest logit, as a whole number: what was summed is scaled by a power of two.
  [[gnu::noinline]] static __m512 move_reference(const float* logits, const float* lanes, float& reference) {
    __m512 max = _mm512_load_ps(logits);
    for (int v = 1; v < kVectors; ++v) max = _mm512_max_ps(max, _mm512_load_ps(logits + v * kLanes));
    const float exponent = __builtin_ceilf(_mm512_reduce_max_ps(max) * kLossLog2E);
    const float moved = exponent > reference ? exponent : reference;
    const __m512 before = _mm512_scalef_ps(_mm512_load_ps(lanes), _mm512_set1_ps(reference - moved));
    reference = moved;
    return _mm512_add_ps(before, EntropyRow().powers(logits, moved));
  }

  Exponential exponential_;
  __m512 log2e_ = _mm512_set1_ps(kLossLog2E), zero_ = _mm512_setzero_ps();
};

/// Remembers the logits of targets that are among the words.
inline void take_targets(const LossWords& words, const EntropySums& sums, i64 row, const float* logits) {
  const __m512i first = _mm512_set1_epi32(static_cast<int>(words.first));
  const __m512i n = _mm512_set1_epi32(static_cast<int>(words.weights.n_columns));
  for (i64 r = 0; r < kTiledRows; r += kLanes) {
    const __m512i columns = _mm512_sub_epi32(_mm512_loadu_si512(sums.targets + row + r), first);
    for (u32 among = _mm512_cmplt_epu32_mask(columns, n); among != 0; among &= among - 1) {
      const i64 at = r + __builtin_ctz(among);
      sums.target_logits[row + at] = logits[at * kTiledColumns + sums.targets[row + at] - words.first];
    }
  }
}

void add_entropy(const TiledRows& rows, const LossWords& words, const EntropySums& sums) {
  const FlushDenormals flush;
  Tiles tiles;
  alignas(64) float logits[kProducts];
  const EntropyRow entropy;
  const i64 n_groups = rows.n_rows / kTiledRows;
  for (i64 group = 0; group < n_groups; ++group) {
    prefetch(words.next, words.next_bytes, group, n_groups);
    make_logits(tiles, rows, group, words, logits);
    const i64 row = group * kTiledRows;
    take_targets(words, sums, row, logits);
    for (i64 r = 0; r < kTiledRows; ++r) {
      entropy.take(logits + r * kTiledColumns, sums.lanes + (row + r) * kLanes, sums.references[row + r]);
    }
  }
}

/// A row's terms of KL(p || q): p (d + exp(-d) - 1) with d = log p - log q, as ComparedRows has them.
class DivergenceRow {
 public:
  DivergenceRow() {
    hold(log2e_);
    hold(half_);
  }

  __m512 terms(const float* p, const float* q, float p_log, float q_log) const {
    const __m512 by = _mm512_set1_ps(p_log - q_log);
    __mmask16 far = 0;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const __m512 d = _mm512_sub_ps(_mm512_sub_ps(_mm512_load_ps(p + v * kLanes), _mm512_load_ps(q + v * kLanes)), by);
      far = static_cast<__mmask16>(far | _mm512_cmp_ps_mask(_mm512_abs_ps(d), half_, _CMP_NLT_UQ));
    }
    return far == 0 ? terms<false>(p, q, p_log, q_log) : terms<true>(p, q, p_log, q_log);
  }

 private:
  /// kFar: some of the words differ so much that the series is no good.
  template <bool kFar>
  __m512 terms(const float* p, const float* q, float p_log, float q_log) const {
    const __m512 by_p = _mm512_set1_ps(p_log), by_q = _mm512_set1_ps(q_log), by = _mm512_set1_ps(p_log - q_log);
    const __m512 zero = _mm512_setzero_ps();
    __m512 sum = zero, nothing = zero;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const __m512 a = _mm512_load_ps(p + v * kLanes), b = _mm512_load_ps(q + v * kLanes);
      const __m512 d = _mm512_sub_ps(_mm512_sub_ps(a, b), by);
      const __m512 weight = exponential_.of(_mm512_mul_ps(_mm512_sub_ps(a, by_p), log2e_));
      __m512 term = _mm512_mul_ps(_mm512_mul_ps(weight, d), _mm512_mul_ps(d, series(d)));
      if (kFar) {
        const __m512 other = exponential_.of(_mm512_mul_ps(_mm512_sub_ps(b, by_q), log2e_));
        // A word of no probability adds q only.
        const __mmask16 any = _mm512_cmp_ps_mask(weight, zero, _CMP_GT_OQ);
        const __m512 far = _mm512_add_ps(_mm512_sub_ps(other, weight), _mm512_maskz_mul_ps(any, weight, d));
        term = _mm512_mask_mov_ps(far, _mm512_cmp_ps_mask(_mm512_abs_ps(d), half_, _CMP_LT_OQ), term);
      }
      sum = _mm512_add_ps(sum, term);
      nothing = _mm512_fmadd_ps(a, zero, _mm512_fmadd_ps(b, zero, nothing));
    }
    return _mm512_add_ps(sum, nothing);
  }

  /// (d - 1 + exp(-d)) / d^2 = 1/2 - d/6 + d^2/24 - ...
  static __m512 series(__m512 d) {
    constexpr float kFactors[] = {-1.0f / 5040, 1.0f / 720, -1.0f / 120, 1.0f / 24, -1.0f / 6, 0.5f};
    __m512 y = _mm512_set1_ps(1.0f / 40320);
    for (const float factor : kFactors) y = _mm512_fmadd_ps(y, d, _mm512_set1_ps(factor));
    return y;
  }

  Exponential exponential_;
  __m512 log2e_ = _mm512_set1_ps(kLossLog2E), half_ = _mm512_set1_ps(0.5f);
};

/// The first of a row's logits that equals its largest.
[[gnu::noinline]] void find_top(const float* logits, float max, i64 first_word, LossTop& top) {
  i64 c = 0;
  while (c + 1 < kTiledColumns && logits[c] != max) ++c;
  top = {max, static_cast<std::int32_t>(first_word + c)};
}

inline void take_top(const float* logits, i64 first_word, LossTop& top) {
  __m512 max = _mm512_load_ps(logits);
#pragma GCC unroll 7
  for (int v = 1; v < kVectors; ++v) max = _mm512_max_ps(max, _mm512_load_ps(logits + v * kLanes));
  if (_mm512_cmp_ps_mask(max, _mm512_set1_ps(top.logit), _CMP_GT_OQ) == 0) return;
  find_top(logits, _mm512_reduce_max_ps(max), first_word, top);
}

void add_divergence(const TiledRows& p, const TiledRows& q, const LossWords& words, const DivergenceSums& sums) {
  const FlushDenormals flush;
  Tiles tiles;
  alignas(64) float p_logits[kProducts];
  alignas(64) float q_logits[kProducts];
  const DivergenceRow divergence;
  const i64 n_groups = p.n_rows / kTiledRows;
  for (i64 group = 0; group < n_groups; ++group) {
    prefetch(words.next, words.next_bytes, group, n_groups);
    make_logits(tiles, p, group, words, p_logits);
    make_logits(tiles, q, group, words, q_logits);
    for (i64 r = 0; r < kTiledRows; ++r) {
      const i64 row = group * kTiledRows + r;
      const float* of_p = p_logits + r * kTiledColumns;
      const float* of_q = q_logits + r * kTiledColumns;
      const __m512 terms = divergence.terms(of_p, of_q, sums.p_logs[row], sums.q_logs[row]);
      float* lanes = sums.lanes + row * kLanes;
      _mm512_store_ps(lanes, _mm512_add_ps(_mm512_load_ps(lanes), terms));
      take_top(of_p, words.first, sums.p_tops[row]);
      take_top(of_q, words.first, sums.q_tops[row]);
    }
  }
}

constexpr LossKernels kLossKernels{add_entropy, add_divergence};

}  // namespace
}  // namespace kvpress
