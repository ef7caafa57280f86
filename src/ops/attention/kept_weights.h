// Column sums out of attention's one pass: a block of rows keeps its weights until its denominators are known.
#pragma once

#include <cstdint>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/ops/attention/attention.h"
#include "ops/attention/attention_kernels.h"
#include "ops/attention/attention_rows.h"

namespace kvpress {

/// Sums that threads add to in any order and that yet come out the same: whole numbers of small units.
class ColumnSums {
 public:
  /// Those of args.column_sums; none where it is empty.
  explicit ColumnSums(const AttentionArgs& args);
  /// Adds to entries [first, first + n) of a KV head. Threads may call it at once.
  void add(std::int64_t kv_head, std::int64_t first, std::int64_t n, const float* sums);
  /// Adds all to args.column_sums.
  void finish(const AttentionArgs& args) const;

 private:
  double units_;  // per 1
  std::vector<std::vector<std::int64_t>> sums_;
};

/// The weights of one block of rows over all the blocks of keys that it sees.
class KeptWeights {
 public:
  void start(std::int64_t n_rows, std::int64_t n_keys);
  /// attend() of the kernels, past one block of keys after the other.
  void attend(const AttentionPlan& plan, const AttentionRows& rows, const void* keys, const void* values,
              const std::int32_t* seen);
  /// Adds the columns' weights, averaged over the group, once all is attended.
  void add_to(ColumnSums& sums, const AttentionArgs& args, const AttentionPlan& plan, std::int64_t kv_head,
              const QueryRows& queries, const AttentionRows& rows);

 private:
  Sight sight_;
  std::int64_t n_blocks_ = 0;     // of keys, so far
  AlignedVector<float> weights_;  // [key block][row][kKeyBlock]
  std::vector<float> row_max_;    // [key block][row], what the weights are relative to
  std::vector<float> shifts_;     // [row], 2^(exponent - shift) is a share of the group's mean
  std::vector<float> exponents_;  // [row], of what one block's weights are to be multiplied by
};

}  // namespace kvpress
