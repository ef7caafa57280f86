#include "formats/compressed.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

constexpr std::size_t kPiece = 1 << 18;

[[noreturn]] void damaged(const std::string& path, std::string_view kind) {
  fail("{}: its {} data are damaged or truncated", path, kind);
}

}  // namespace

void decompress_gzip(std::span<const std::byte> data, const std::string& path, const TextSink& sink) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) fail("{}: zlib cannot be initialized", path);
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);
  std::vector<char> piece(kPiece);
  std::size_t at = 0;
  for (;;) {
    if (stream.avail_in == 0) {  // zlib counts in 32 bits
      const std::size_t n = std::min<std::size_t>(data.size() - at, std::numeric_limits<uInt>::max());
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(data.data() + at));
      stream.avail_in = static_cast<uInt>(n);
      at += n;
    }
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = kPiece;
    const int status = inflate(&stream, Z_NO_FLUSH);
    // Also Z_BUF_ERROR: no input is left and no output is pending, but the stream has not ended.
    if (status != Z_OK && status != Z_STREAM_END) damaged(path, "gzip");
    if (!sink({piece.data(), kPiece - stream.avail_out})) return;
    if (status != Z_STREAM_END) continue;
    if (stream.avail_in == 0 && at == data.size()) return;
    if (inflateReset(&stream) != Z_OK) damaged(path, "gzip");  // a file may be several streams one after another
  }
}

void decompress_xz(std::span<const std::byte> data, const std::string& path, const TextSink& sink) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, std::numeric_limits<std::uint64_t>::max(), LZMA_CONCATENATED) != LZMA_OK) {
    fail("{}: liblzma cannot be initialized", path);
  }
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> guard(&stream, lzma_end);
  stream.next_in = reinterpret_cast<const std::uint8_t*>(data.data());
  stream.avail_in = data.size();
  std::vector<char> piece(kPiece);
  lzma_ret status = LZMA_OK;
  while (status == LZMA_OK) {
    stream.next_out = reinterpret_cast<std::uint8_t*>(piece.data());
    stream.avail_out = kPiece;
    status = lzma_code(&stream, LZMA_FINISH);
    if (status != LZMA_OK && status != LZMA_STREAM_END) damaged(path, "xz");
    if (!sink({piece.data(), kPiece - stream.avail_out})) return;
  }
}

void decompress_zstd(std::span<const std::byte> data, const std::string& path, const TextSink& sink) {
  const std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> stream(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (stream == nullptr) fail("{}: zstd cannot be initialized", path);
  // `zstd --ultra --long=31` writes what the default limit would refuse.
  if (ZSTD_isError(ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax, 31)) != 0) {
    fail("{}: zstd cannot be initialized", path);
  }
  ZSTD_inBuffer in{data.data(), data.size(), 0};
  std::vector<char> piece(kPiece);
  std::size_t left = 1;  // 0 at the end of a frame, of which a file may hold several
  while (in.pos < in.size || left > 0) {
    ZSTD_outBuffer out{piece.data(), piece.size(), 0};
    const std::size_t before = in.pos;
    left = ZSTD_decompressStream(stream.get(), &out, &in);
    if (ZSTD_isError(left) != 0) damaged(path, "zstd");
    if (left > 0 && in.pos == before && out.pos == 0) damaged(path, "zstd");
    if (!sink({piece.data(), out.pos})) return;
  }
}

}  // namespace kvpress
