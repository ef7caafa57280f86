#include "ops/loss/tile_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "kvpress/base/memory.h"
#include "kvpress/base/threads.h"
#include "ops/isa.h"
#include "ops/product/linear_impl.h"
#include "ops/rowwise.h"
#include "ops/tiles/packed_rows.h"

namespace kvpress {
namespace {

using Half = std::uint16_t;

/// Rows whose hidden states are packed at a time.
constexpr std::int64_t kPackedRows = 2048;
/// Words that one thread takes rows past. A fixed number: losses must not depend on the number of threads.
constexpr std::int64_t kStretch = 16 * kTiledColumns;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::int64_t rounded_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

/// Shows the words of a stretch, some at a time: take(words).
template <typename Take>
void for_words(const OutputHead& head, std::int64_t begin, Take&& take) {
  thread_local AlignedVector<Half> scratch;
  const LinearImpl& product = head.product.impl();
  const std::int64_t n = product.out_features();
  const std::int64_t end = std::min(begin + kStretch, n);
  for (std::int64_t first = begin; first < end; first += kTiledColumns) {
    LossWords words;
    words.weights = product.tiles(first, scratch);
    words.first = first;
    words.cap = head.soft_cap;
    words.apply_cap = soft_cap;
    // Behind a stretch the thread goes on anywhere.
    if (first + kTiledColumns < end) {
      const auto next = product.tile_bytes(first + kTiledColumns);
      words.next = next.data();
      words.next_bytes = static_cast<std::int64_t>(next.size());
    }
    take(words);
  }
}

std::int64_t n_stretches(const OutputHead& head) { return (head.product.out_features() + kStretch - 1) / kStretch; }

/// What a block of rows gathers past a stretch of words.
struct BlockSums {
  AlignedVector<float> lanes;
  std::vector<float> references, first_logs, second_logs;
  std::vector<std::int32_t> targets;
  std::vector<LossTop> first_tops, second_tops;

  double lane_sum(std::int64_t row) const {
    double sum = 0;
    for (std::int64_t i = 0; i < kLossLanes; ++i) sum += static_cast<double>(lanes[row * kLossLanes + i]);
    return sum;
  }
};

BlockSums& block_sums() {
  thread_local BlockSums sums;
  sums.lanes.assign(static_cast<std::size_t>(PackedRows::kMostBlockRows * kLossLanes), 0.0f);
  return sums;
}

/// values[first ...] for the rows of a block; `filling` for those that fill up a group.
template <typename T>
void take_part(std::span<const T> values, std::int64_t first, T filling, std::vector<T>& part) {
  part.assign(static_cast<std::size_t>(PackedRows::kMostBlockRows), filling);
  std::copy_n(values.begin() + first, std::min<std::int64_t>(PackedRows::kMostBlockRows, std::ssize(values) - first),
              part.begin());
}

/// One stretch's share of a softmax's denominator: sum * 2^reference.
struct Share {
  double sum;
  float reference;
};

/// The logarithm, to base e, of all shares together. No number where one of them is none.
double log_of(std::span<const Share> shares) {
  float reference = kNoReference;
  for (const Share& it : shares) reference = std::max(reference, it.reference);
  double sum = 0;
  for (const Share& it : shares) sum += it.sum * std::exp2(static_cast<double>(it.reference - reference));
  // The kernels' log2(e) is a rounded one: what it makes of the logits this undoes.
  return (static_cast<double>(reference) + std::log2(sum)) / static_cast<double>(kLossLog2E);
}

/// The losses of at most kPackedRows rows.
class Entropies {
 public:
  Entropies(const LossKernels& kernels, const OutputHead& head, std::span<const std::int32_t> targets)
      : kernels_(kernels), head_(head), targets_(targets), n_stretches_(n_stretches(head)) {
    shares_.resize(targets.size() * static_cast<std::size_t>(n_stretches_));
    // Blocks write the logits of the rows that fill up a group, too.
    target_logits_.resize(static_cast<std::size_t>(rounded_up(std::ssize(targets), kTiledRows)), 0.0f);
  }

  void add(const PackedRows& rows) {
    parallel_for(rows.n_blocks() * n_stretches_, [&](std::int64_t item) {
      add(rows.block(item / n_stretches_), item / n_stretches_ * rows.block_rows(), item % n_stretches_);
    });
  }

  void finish(std::span<float> nll, std::span<float> log_sums) const {
    for (std::size_t i = 0; i < nll.size(); ++i) {
      const auto n = static_cast<std::size_t>(n_stretches_);
      const double log_sum = log_of(std::span(shares_).subspan(i * n, n));
      nll[i] = static_cast<float>(log_sum - static_cast<double>(target_logits_[i]));
      if (!log_sums.empty()) log_sums[i] = static_cast<float>(log_sum);
    }
  }

 private:
  void add(const TiledRows& rows, std::int64_t first_row, std::int64_t stretch) {
    BlockSums& sums = block_sums();
    sums.references.assign(static_cast<std::size_t>(PackedRows::kMostBlockRows), kNoReference);
    take_part(targets_, first_row, -1, sums.targets);
    for_words(head_, stretch * kStretch, [&](const LossWords& words) {
      kernels_.add_entropy(
          rows, words,
          {sums.lanes.data(), sums.references.data(), sums.targets.data(), target_logits_.data() + first_row});
    });
    const std::int64_t n = std::min(rows.n_rows, std::ssize(targets_) - first_row);
    for (std::int64_t r = 0; r < n; ++r) {
      shares_[(first_row + r) * n_stretches_ + stretch] = {sums.lane_sum(r), sums.references[r]};
    }
  }

  const LossKernels& kernels_;
  const OutputHead& head_;
  std::span<const std::int32_t> targets_;
  std::int64_t n_stretches_;
  std::vector<Share> shares_;  // [row][stretch]
  std::vector<float> target_logits_;
};

/// How at most kPackedRows rows of two models compare.
class Comparisons {
 public:
  Comparisons(const LossKernels& kernels, const OutputHead& head, std::span<const float> p_logs,
              std::span<const float> q_logs)
      : kernels_(kernels), head_(head), p_logs_(p_logs), q_logs_(q_logs), n_stretches_(n_stretches(head)) {
    found_.resize(p_logs.size() * static_cast<std::size_t>(n_stretches_));
  }

  void add(const PackedRows& p, const PackedRows& q) {
    parallel_for(p.n_blocks() * n_stretches_, [&](std::int64_t item) {
      const std::int64_t block = item / n_stretches_;
      add(p.block(block), q.block(block), block * p.block_rows(), item % n_stretches_);
    });
  }

  void finish(std::span<float> kl, std::span<std::uint8_t> same_top) const {
    for (std::size_t i = 0; i < kl.size(); ++i) {
      const Found* of_row = found_.data() + i * static_cast<std::size_t>(n_stretches_);
      Found all = *of_row;
      for (std::int64_t s = 1; s < n_stretches_; ++s) {
        all.kl += of_row[s].kl;
        if (of_row[s].p_top.logit > all.p_top.logit) all.p_top = of_row[s].p_top;
        if (of_row[s].q_top.logit > all.q_top.logit) all.q_top = of_row[s].q_top;
      }
      kl[i] = std::isfinite(all.kl) ? static_cast<float>(std::max(0.0, all.kl)) : kNaN;
      same_top[i] = all.p_top.word == all.q_top.word ? 1 : 0;
    }
  }

 private:
  /// Of a row past a stretch.
  struct Found {
    double kl;
    LossTop p_top, q_top;
  };

  void add(const TiledRows& p, const TiledRows& q, std::int64_t first_row, std::int64_t stretch) {
    constexpr LossTop kNoTop = {-std::numeric_limits<float>::infinity(), 0};
    BlockSums& sums = block_sums();
    take_part(p_logs_, first_row, 0.0f, sums.first_logs);
    take_part(q_logs_, first_row, 0.0f, sums.second_logs);
    sums.first_tops.assign(static_cast<std::size_t>(PackedRows::kMostBlockRows), kNoTop);
    sums.second_tops.assign(static_cast<std::size_t>(PackedRows::kMostBlockRows), kNoTop);
    for_words(head_, stretch * kStretch, [&](const LossWords& words) {
      kernels_.add_divergence(p, q, words,
                              {sums.lanes.data(), sums.first_logs.data(), sums.second_logs.data(),
                               sums.first_tops.data(), sums.second_tops.data()});
    });
    const std::int64_t n = std::min(p.n_rows, std::ssize(p_logs_) - first_row);
    for (std::int64_t r = 0; r < n; ++r) {
      found_[(first_row + r) * n_stretches_ + stretch] = {sums.lane_sum(r), sums.first_tops[r], sums.second_tops[r]};
    }
  }

  const LossKernels& kernels_;
  const OutputHead& head_;
  std::span<const float> p_logs_, q_logs_;
  std::int64_t n_stretches_;
  std::vector<Found> found_;  // [row][stretch]
};

template <typename T>
std::span<T> part(std::span<T> values, std::int64_t first, std::int64_t n) {
  return values.empty() ? values : values.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n));
}

const LossKernels* loss_kernels() {
  if (isa() == Isa::amx) return amx_loss_kernels();
  return isa() == Isa::amx_software ? software_loss_kernels() : nullptr;
}

}  // namespace

const LossKernels* loss_kernels_for(const OutputHead& head) {
  const LossKernels* const kernels = loss_kernels();
  const LinearImpl& product = head.product.impl();
  return kernels != nullptr && product.has_tiles() && product.in_features() <= kMostTiledInputs ? kernels : nullptr;
}

void tile_cross_entropy(const LossKernels& kernels, Matrix<const float> hidden, const OutputHead& head,
                        std::span<const std::int32_t> targets, std::span<float> nll, std::span<float> log_sums) {
  thread_local LargePages memory;
  PackedRows rows(memory);
  for (std::int64_t first = 0; first < hidden.rows; first += kPackedRows) {
    const std::int64_t n = std::min(kPackedRows, hidden.rows - first);
    rows.pack(hidden.block(first, n));
    Entropies entropies(kernels, head, part(targets, first, n));
    entropies.add(rows);
    entropies.finish(part(nll, first, n), part(log_sums, first, n));
  }
}

void tile_compare(const LossKernels& kernels, const ScoredStates& full, const ScoredStates& compressed,
                  const OutputHead& head, std::span<float> kl, std::span<std::uint8_t> same_top) {
  thread_local LargePages p_memory, q_memory;
  PackedRows p(p_memory), q(q_memory);
  for (std::int64_t first = 0; first < full.hidden.rows; first += kPackedRows) {
    const std::int64_t n = std::min(kPackedRows, full.hidden.rows - first);
    p.pack(full.hidden.block(first, n));
    q.pack(compressed.hidden.block(first, n));
    Comparisons comparisons(kernels, head, part(full.log_sums, first, n), part(compressed.log_sums, first, n));
    comparisons.add(p, q);
    comparisons.finish(part(kl, first, n), part(same_top, first, n));
  }
}

}  // namespace kvpress
