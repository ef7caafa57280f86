// Packs rows for tiles.
#pragma once

#include <cstdint>
#include <memory>

#include "kvpress/base/memory.h"
#include "kvpress/ops/matrix.h"
#include "ops/tiles/tiled_rows.h"

namespace kvpress {

/// Rows so wide that neither they nor weights stay in the second-level cache are left to oneDNN: losses with 4,096
/// inputs take it a tenth less time, with 2,048 a sixth more.
inline constexpr std::int64_t kMostTiledInputs = 3072;

/// Large pages, without which addresses of rows that pass again and again would be looked up too often. They live on
/// from call to call.
class LargePages {
 public:
  std::uint16_t* get(std::int64_t n);

 private:
  std::shared_ptr<std::byte> memory_;
  std::int64_t n_ = 0;
};

class PackedRows {
 public:
  explicit PackedRows(LargePages& memory) : memory_(memory) {}

  /// Rounds them to bfloat16. Uses every thread.
  void pack(Matrix<const float> rows);
  /// Rows of bfloat16.
  void pack(const Activations& rows);

  /// Rows that pass over some weights together, as many as stay in the second-level cache, and at most 1,024.
  static constexpr std::int64_t kMostBlockRows = 1024;
  std::int64_t block_rows() const { return block_rows_; }
  std::int64_t n_blocks() const { return (n_rows_ + block_rows_ - 1) / block_rows_; }
  TiledRows block(std::int64_t b) const;
  /// Makes blocks smaller, so that there are `n_blocks` of them, if rows suffice.
  void cut_into(std::int64_t n_blocks);

 private:
  void start(std::int64_t n_rows, std::int64_t cols);
  template <typename Row>
  void pack_groups(std::int64_t cols, const Row& row);

  LargePages& memory_;
  std::uint16_t* tiles_ = nullptr;
  std::int64_t n_rows_ = 0, n_steps_ = 0, block_rows_ = kMostBlockRows;
};

}  // namespace kvpress
