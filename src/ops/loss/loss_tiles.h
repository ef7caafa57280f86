// Losses on tiles: logits of 32 rows and 128 words at a time go from the tiles into the rows' running sums and are
// never stored beyond the first-level cache. This header includes no more than it must: files compiled for newer
// processors include it.
#pragma once

#include <cstdint>

#include "ops/product/weight_tiles.h"
#include "ops/tiles/tiled_rows.h"

namespace kvpress {

/// Lanes of a row's sums, which are added up at the end.
inline constexpr std::int64_t kLossLanes = 16;

/// Some words: their weights, and what becomes of logits.
struct LossWords {
  WeightTiles weights;
  std::int64_t first = 0;  ///< the number of the first word
  float cap = 0;           ///< above 0, logits become cap * tanh(logit / cap)
  void (*apply_cap)(float* logits, std::int64_t n, float cap) = nullptr;
  const void* next = nullptr;   ///< what will be read after these weights
  std::int64_t next_bytes = 0;  ///< is fetched to the second-level cache meanwhile
};

/// The sums of softmaxes' denominators, row by row: in base 2, and relative to a reference.
struct EntropySums {
  float* lanes = nullptr;                 ///< [n_rows][kLossLanes] of 2^(logit * kLossLog2E - reference), at first 0
  float* references = nullptr;            ///< [n_rows], at first kNoReference
  const std::int32_t* targets = nullptr;  ///< [n_rows] words
  float* target_logits = nullptr;         ///< [n_rows], written where the word is among those taken
};
inline constexpr float kNoReference = -1e30f;
inline constexpr float kLossLog2E = 1.44269504f;

/// The largest logit of a row, at first -infinity, and the first word that has it.
struct LossTop {
  float logit;
  std::int32_t word;
};

/// How the logits of two models compare, row by row.
struct DivergenceSums {
  float* lanes = nullptr;  ///< [n_rows][kLossLanes] of the terms of the KL divergence, at first 0
  const float* p_logs = nullptr;
  const float* q_logs = nullptr;  ///< [n_rows], logs of the softmaxes' denominators
  LossTop* p_tops = nullptr;
  LossTop* q_tops = nullptr;  ///< [n_rows]
};

/// Lanes of a row with a logit that is not finite (before it is capped) become NaN.
struct LossKernels {
  void (*add_entropy)(const TiledRows& rows, const LossWords& words, const EntropySums& sums);
  /// p and q have as many rows.
  void (*add_divergence)(const TiledRows& p, const TiledRows& q, const LossWords& words, const DivergenceSums& sums);
};

/// Null where the compiler was not told to use these instructions. The caller asks the processor whether it has them.
/// Both compute the same, bit by bit: the second has AVX-512 BF16 alone, and models tiles in software.
const LossKernels* amx_loss_kernels();
const LossKernels* software_loss_kernels();

}  // namespace kvpress
