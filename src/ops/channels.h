// Rows that are stored without some of their channels, and back.
#pragma once

#include <cstdint>
#include <span>

#include "kvpress/base/dtype.h"

namespace kvpress {

/// thin [n, channels.size()] := the channels (ascending) of rows [n, dim], all of `type`.
void take_channels(const void* rows, DType type, std::int64_t n, std::int64_t dim,
                   std::span<const std::int32_t> channels, void* thin);

/// rows [n, dim] := thin [n, channels.size()] at its channels, 0 elsewhere.
void spread_channels(const void* thin, DType type, std::int64_t n, std::int64_t dim,
                     std::span<const std::int32_t> channels, void* rows);

}  // namespace kvpress
