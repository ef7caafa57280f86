#include "ops/channels.h"

#include <cstddef>
#include <cstring>

namespace kvpress {
namespace {

/// Elements are moved, not read: their size is all that matters.
template <typename Element>
void take(const Element* rows, std::int64_t n, std::int64_t dim, std::span<const std::int32_t> channels,
          Element* thin) {
  for (std::int64_t i = 0; i < n; ++i, rows += dim) {
    for (const std::int32_t c : channels) *thin++ = rows[c];
  }
}

template <typename Element>
void spread(const Element* thin, std::int64_t n, std::int64_t dim, std::span<const std::int32_t> channels,
            Element* rows) {
  std::memset(rows, 0, static_cast<std::size_t>(n * dim) * sizeof(Element));  // 0 in every format
  for (std::int64_t i = 0; i < n; ++i, rows += dim) {
    for (const std::int32_t c : channels) rows[c] = *thin++;
  }
}

}  // namespace

void take_channels(const void* rows, DType type, std::int64_t n, std::int64_t dim,
                   std::span<const std::int32_t> channels, void* thin) {
  if (size_of(type) == 2) {
    take(static_cast<const std::uint16_t*>(rows), n, dim, channels, static_cast<std::uint16_t*>(thin));
  } else {
    take(static_cast<const std::uint32_t*>(rows), n, dim, channels, static_cast<std::uint32_t*>(thin));
  }
}

void spread_channels(const void* thin, DType type, std::int64_t n, std::int64_t dim,
                     std::span<const std::int32_t> channels, void* rows) {
  if (size_of(type) == 2) {
    spread(static_cast<const std::uint16_t*>(thin), n, dim, channels, static_cast<std::uint16_t*>(rows));
  } else {
    spread(static_cast<const std::uint32_t*>(thin), n, dim, channels, static_cast<std::uint32_t*>(rows));
  }
}

}  // namespace kvpress
