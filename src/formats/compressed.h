// Decompressing files piece by piece. `path` is for the error when the data are damaged or cut off.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace kvpress {

/// Takes the next piece; answers whether more is wanted. What is no longer wanted is not decompressed.
using TextSink = std::function<bool(std::string_view piece)>;

void decompress_gzip(std::span<const std::byte> data, const std::string& path, const TextSink& sink);
void decompress_xz(std::span<const std::byte> data, const std::string& path, const TextSink& sink);
void decompress_zstd(std::span<const std::byte> data, const std::string& path, const TextSink& sink);

}  // namespace kvpress
