#include "base/utf8_stream.h"

#include <gtest/gtest.h>

namespace kvpress {
namespace {

TEST(Utf8Stream, ShowsWholeCharacters) {
  const std::string text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";  // of 1, 2, 3, 4 and 1 bytes
  for (std::size_t step = 1; step <= text.size(); ++step) {
    Utf8Stream stream;
    std::string shown;
    for (std::size_t at = 0; at < text.size(); at += step) {
      const std::string whole = stream.take(std::string_view(text).substr(at, step));
      shown += whole;
      // What has been shown ends with a whole character.
      if (shown.size() < text.size()) {
        EXPECT_NE(static_cast<unsigned char>(text[shown.size()]) & 0xc0u, 0x80u) << step;
      }
    }
    EXPECT_EQ(shown, text) << step;
    EXPECT_EQ(stream.finish(), "");
  }
}

TEST(Utf8Stream, BytesThatAreNoTextPass) {
  Utf8Stream stream;
  EXPECT_EQ(stream.take("\xff\x80\x80\x80\x80"), "\xff\x80\x80\x80\x80");
  EXPECT_EQ(stream.take("\xc0"), "\xc0");
  EXPECT_EQ(stream.take("\xe2\x82"), "");
  EXPECT_EQ(stream.finish(), "\xe2\x82");
}

}  // namespace
}  // namespace kvpress
