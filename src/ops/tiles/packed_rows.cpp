#include "ops/tiles/packed_rows.h"

#include <algorithm>

#include "kvpress/base/threads.h"
#include "ops/product/weight_tiles.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

using Half = std::uint16_t;

constexpr std::int64_t kFewestBlockRows = 256;
/// What rows of a block may take, so that they leave room for weights in the second-level cache.
constexpr std::int64_t kBlockBytes = std::int64_t{5} << 18;

std::int64_t rounded_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

}  // namespace

Half* LargePages::get(std::int64_t n) {
  if (n > n_) {
    memory_.reset();
    const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(Half);
    memory_ = PageArena(bytes).take(bytes);
    n_ = n;
  }
  return reinterpret_cast<Half*>(memory_.get());
}

void PackedRows::start(std::int64_t n_rows, std::int64_t cols) {
  n_rows_ = n_rows;
  n_steps_ = (cols + kTiledInputs - 1) / kTiledInputs;
  tiles_ = memory_.get(rounded_up(n_rows, kTiledRows) * n_steps_ * kTiledInputs);
  const std::int64_t fitting = kBlockBytes / (kTiledInputs * n_steps_ * static_cast<std::int64_t>(sizeof(Half)));
  block_rows_ = std::clamp(fitting / kTiledRows * kTiledRows, kFewestBlockRows, kMostBlockRows);
}

/// row(r, to) gives a row's halves, possibly by writing them to `to`.
template <typename Row>
void PackedRows::pack_groups(std::int64_t cols, const Row& row) {
  const std::int64_t filled = n_steps_ * kTiledInputs;
  parallel_for((n_rows_ + kTiledRows - 1) / kTiledRows, [&](std::int64_t group) {
    thread_local AlignedVector<Half> halves;
    halves.resize(static_cast<std::size_t>(filled));
    Half* const to = tiles_ + group * filled * kTiledRows;
    for (std::int64_t r = 0; r < kTiledRows; ++r) {
      const std::int64_t at = group * kTiledRows + r;
      std::fill(halves.begin() + (at < n_rows_ ? cols : 0), halves.end(), Half{0});
      if (at < n_rows_) row(at, halves.data());
      for (std::int64_t step = 0; step < n_steps_; ++step) {
        std::copy_n(halves.data() + step * kTiledInputs, kTiledInputs, to + (step * kTiledRows + r) * kTiledInputs);
      }
    }
  });
}

void PackedRows::pack(Matrix<const float> rows) {
  start(rows.rows, rows.cols);
  pack_groups(rows.cols, [&](std::int64_t r, Half* to) { from_float(rows.row(r), to, DType::bf16, rows.cols); });
}

void PackedRows::pack(const Activations& rows) {
  start(rows.rows, rows.cols);
  pack_groups(rows.cols,
              [&](std::int64_t r, Half* to) { std::copy_n(rows.as<Half>() + r * rows.cols, rows.cols, to); });
}

TiledRows PackedRows::block(std::int64_t b) const {
  const std::int64_t first = b * block_rows_;
  return {tiles_ + first * n_steps_ * kTiledInputs, rounded_up(std::min(block_rows_, n_rows_ - first), kTiledRows),
          n_steps_};
}

void PackedRows::cut_into(std::int64_t n_blocks) {
  const std::int64_t wanted = rounded_up((n_rows_ + n_blocks - 1) / n_blocks, kTiledRows);
  block_rows_ = std::min(block_rows_, std::max(wanted, kTiledRows));
}

}  // namespace kvpress
