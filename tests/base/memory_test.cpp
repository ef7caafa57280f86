#include "kvpress/base/memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace kvpress {
namespace {

TEST(PageArena, GivesAlignedZerosThatDoNotOverlap) {
  PageArena arena(10000);
  std::vector<std::shared_ptr<std::byte>> pieces;
  const std::vector<std::size_t> sizes = {1, 64, 5000, 7000, 3 << 20, 100};
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    pieces.push_back(arena.take(sizes[i]));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pieces[i].get()) % kAlignment, 0u);
    EXPECT_TRUE(
        std::all_of(pieces[i].get(), pieces[i].get() + sizes[i], [](std::byte b) { return b == std::byte{0}; }));
    std::memset(pieces[i].get(), static_cast<int>(i + 1), sizes[i]);
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const auto value = static_cast<std::byte>(i + 1);
    EXPECT_TRUE(std::all_of(pieces[i].get(), pieces[i].get() + sizes[i], [=](std::byte b) { return b == value; }));
  }
}

TEST(PageArena, TakesMemoryAsItIsWrittenAndGivesItBack) {
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  const std::size_t before = resident_bytes();
  std::shared_ptr<std::byte> piece;
  {
    PageArena arena(std::size_t{1} << 30);
    piece = arena.take(kBytes);
  }
  EXPECT_LT(resident_bytes(), before + kBytes / 4);
  std::memset(piece.get(), 1, kBytes);  // outlives its arena
  EXPECT_GE(resident_bytes(), before + kBytes);
  EXPECT_LT(resident_bytes(), before + kBytes + kBytes / 4);
  piece.reset();
  EXPECT_LT(resident_bytes(), before + kBytes / 4);
}

}  // namespace
}  // namespace kvpress
