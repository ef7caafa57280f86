#include "formats/compressed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <functional>
#include <random>

#include "formats/mutations.h"

namespace kvpress {
namespace {

using test::error_of;
using ::testing::HasSubstr;

std::span<const std::byte> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string xz(const std::string& text) {
  std::string out(lzma_stream_buffer_bound(text.size()), '\0');
  std::size_t n = 0;
  lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const std::uint8_t*>(text.data()), text.size(),
                          reinterpret_cast<std::uint8_t*>(out.data()), &n, out.size());
  out.resize(n);
  return out;
}

std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

struct Format {
  const char* name;
  std::string (*compress)(const std::string&);
  void (*decompress)(std::span<const std::byte>, const std::string&, const TextSink&);

  friend void PrintTo(const Format& format, std::ostream* out) { *out << format.name; }
};

class Compressed : public ::testing::TestWithParam<Format> {
 protected:
  static std::string decompress(const std::string& data) {
    std::string out;
    GetParam().decompress(as_bytes(data), "file", [&](std::string_view piece) {
      out += piece;
      return true;
    });
    return out;
  }
  /// Some of it repeats and some does not; longer than the pieces it is read in.
  static std::string sample(std::size_t n) {
    std::mt19937 random(1);
    std::string text;
    while (text.size() < n) text += random() % 3 == 0 ? "the same again " : std::to_string(random());
    return text;
  }
};

TEST_P(Compressed, ComesBackWhole) {
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, std::size_t{3'000'000}}) {
    EXPECT_EQ(decompress(GetParam().compress(sample(n))), sample(n)) << n;
  }
  const std::string zeros(5'000'000, '\0');
  EXPECT_EQ(decompress(GetParam().compress(zeros)), zeros);
}

TEST_P(Compressed, SeveralStreamsFollowEachOther) {
  EXPECT_EQ(decompress(GetParam().compress("one ") + GetParam().compress("") + GetParam().compress("two")), "one two");
}

TEST_P(Compressed, CutOffIsAnError) {
  const std::string data = GetParam().compress(sample(5000));
  for (std::size_t n = 0; n < data.size(); n += 1 + data.size() / 200) {
    EXPECT_EQ(error_of([&] { decompress(data.substr(0, n)); }),
              std::string("file: its ") + GetParam().name + " data are damaged or truncated")
        << n;
  }
}

TEST_P(Compressed, SurvivesDamage) {
  const std::string data = GetParam().compress(sample(5000));
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    std::mt19937_64 random(seed);
    const std::string bad = test::damaged(data, random);
    error_of([&] { decompress(bad); });  // an Error or none; what else may be thrown fails the test
  }
}

TEST_P(Compressed, StopsWhenEnough) {
  const std::string data = GetParam().compress(sample(3'000'000));
  int pieces = 0;
  GetParam().decompress(as_bytes(data.substr(0, data.size() / 2)), "file",
                        [&](std::string_view) { return ++pieces < 2; });
  EXPECT_EQ(pieces, 2);
}

INSTANTIATE_TEST_SUITE_P(Formats, Compressed,
                         ::testing::Values(Format{"gzip", gzip, decompress_gzip}, Format{"xz", xz, decompress_xz},
                                           Format{"zstd", zstd, decompress_zstd}),
                         [](const auto& format) { return format.param.name; });

}  // namespace
}  // namespace kvpress
