#include "model/mxfp4.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "formats/printable.h"
#include "formats/quants.h"
#include "kvpress/base/error.h"
#include "kvpress/base/threads.h"

namespace kvpress {
namespace {

/// Numbers that share a scale, and the bytes that their codes take.
constexpr std::int64_t kGroup = 32;
constexpr std::int64_t kCodeBytes = kGroup / 2;

/// An exponent of 2 is stored with 127 added; this one stands for no number.
constexpr std::byte kNoScale{255};

struct OwnedMatrix {
  std::vector<std::byte> bytes;
  TensorInfo tensor;
};

/// Two numbers that follow one another share a byte here, the first in its low half; in a GGUF those that are half a
/// group apart do.
void rearrange_codes(const std::byte* from, std::byte* to) {
  constexpr std::byte kLow{15};
  for (std::int64_t j = 0; j < kCodeBytes / 2; ++j) {
    const std::byte front = from[j];
    const std::byte back = from[kCodeBytes / 2 + j];
    to[2 * j] = (front & kLow) | (back & kLow) << 4;
    to[2 * j + 1] = front >> 4 | (back & ~kLow);
  }
}

}  // namespace

std::shared_ptr<const TensorInfo> mxfp4_matrix(WeightReader& reader, const std::string& name, std::int64_t n,
                                               std::int64_t i, std::int64_t out, std::int64_t in) {
  if (in % kGroup != 0) {
    fail("{}: tensor {}: rows of {} numbers cannot be in MXFP4, whose scales are of {} each", reader.path(),
         printable(name), in, kGroup);
  }
  const std::int64_t n_groups = in / kGroup;
  const TensorInfo& blocks = reader.bytes(name + "_blocks", {n, out, n_groups, kCodeBytes});
  const TensorInfo& scales = reader.bytes(name + "_scales", {n, out, n_groups});
  const std::int64_t first = i * out * n_groups;
  const std::byte* const codes = blocks.data.data() + first * kCodeBytes;
  const auto exponents = scales.data.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(out * n_groups));
  if (std::find(exponents.begin(), exponents.end(), kNoScale) != exponents.end()) {
    fail("{}: tensor {} holds a scale of 255, which stands for no number", reader.path(), printable(scales.name));
  }
  auto matrix = std::make_shared<OwnedMatrix>();
  const std::size_t block_bytes = quant_layout(StoredType::mxfp4).bytes;
  matrix->bytes.resize(exponents.size() * block_bytes);
  parallel_for(out * n_groups, [&](std::int64_t g) {
    std::byte* const to = &matrix->bytes[static_cast<std::size_t>(g) * block_bytes];
    *to = exponents[static_cast<std::size_t>(g)];
    rearrange_codes(codes + g * kCodeBytes, to + 1);
  });
  matrix->tensor = {blocks.name, StoredType::mxfp4, "MXFP4", {out, in}, matrix->bytes};
  return {matrix, &matrix->tensor};
}

}  // namespace kvpress
