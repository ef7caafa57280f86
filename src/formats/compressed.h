// Decompression of files piece by piece.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace kvpress {

/// Receives the next piece; returns whether more is wanted. The rest is not decompressed otherwise.
using TextSink = std::function<bool(std::string_view piece)>;

/// Each decompresses `data` into `sink`. Throws Error with `path` if the data are damaged or truncated.
void decompress_gzip(std::span<const std::byte> data, const std::string& path, const TextSink& sink);
void decompress_xz(std::span<const std::byte> data, const std::string& path, const TextSink& sink);
void decompress_zstd(std::span<const std::byte> data, const std::string& path, const TextSink& sink);

}  // namespace kvpress
