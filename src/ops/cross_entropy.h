// Losses over rows of logits, a block of rows and columns at a time: the caller never holds logits for a whole text,
// nor need it hold those of all words.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kvpress/ops/matrix.h"

namespace kvpress {

/// The losses of rows whose logits come a block of columns at a time, each once.
class CrossEntropyRows {
 public:
  /// One row a target, which is a column.
  explicit CrossEntropyRows(std::span<const std::int32_t> targets);
  /// Columns [first, first + logits.cols) of all rows.
  void add(Matrix<const float> logits, std::int64_t first);
  /// nll[i] = -log softmax(row i)[targets[i]], in nats; log_sums[i] = log of the softmax's denominator, unless empty.
  void finish(std::span<float> nll, std::span<float> log_sums = {}) const;
  /// Whether all logits of a row were finite. The losses of others mean nothing.
  bool is_finite(std::size_t row) const { return finite_[row] != 0; }

 private:
  std::span<const std::int32_t> targets_;
  std::vector<float> max_, target_;
  std::vector<double> sum_;  // of exp(logit - max)
  std::vector<std::uint8_t> finite_;
};

/// How rows of two models' logits compare, which come a block of columns at a time.
class ComparedRows {
 public:
  /// The logarithms of the softmaxes' denominators; what they lack in digits the KL does not, to the first order.
  ComparedRows(std::span<const float> p_logs, std::span<const float> q_logs);
  void add(Matrix<const float> p, Matrix<const float> q, std::int64_t first);
  /// kl[i] = KL(softmax(p[i]) || softmax(q[i])) in nats, never below 0 and 0 for equal rows; same_top[i] = 1 where both
  /// have the same largest logit (the first of equals), else 0.
  void finish(std::span<float> kl, std::span<std::uint8_t> same_top) const;
  /// Whether all logits of a row were finite, in both. What is said of others means nothing.
  bool is_finite(std::size_t row) const { return finite_[row] != 0; }

 private:
  struct Top {
    float value;
    std::int64_t column;
  };
  static void take_top(const float* row, std::int64_t n, std::int64_t first, Top& top);
  std::span<const float> p_logs_, q_logs_;
  std::vector<double> kl_;
  std::vector<std::uint8_t> finite_;
  std::vector<Top> p_top_, q_top_;
};

/// The losses of rows that are there whole.
void cross_entropy(Matrix<const float> logits, std::span<const std::int32_t> targets, std::span<float> nll);

/// The definition, in plain loops: the oracle of the tests.
void cross_entropy_plain(Matrix<const float> logits, std::span<const std::int32_t> targets, std::span<float> nll);

/// The index of the largest value (the first of equals).
std::int64_t argmax(const float* x, std::int64_t n);

}  // namespace kvpress
