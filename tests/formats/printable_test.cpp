#include "formats/printable.h"

#include <gtest/gtest.h>

namespace kvpress {
namespace {

TEST(Printable, LeavesNamesAsTheyAre) {
  EXPECT_EQ(printable("model.layers.0.weight"), "model.layers.0.weight");
  EXPECT_EQ(printable("Größe 大"), "Größe 大");
}

TEST(Printable, KeepsAMessageOnOneLine) {
  EXPECT_EQ(printable("a\nb\r\0c"), "a?b?");
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a?b");
  EXPECT_EQ(printable("\x80\xff\xe2\x82"), "????");
  EXPECT_EQ(printable("a\u2028b\u0085c"), "a?b?c");
}

TEST(Printable, CutsLongNames) {
  const std::string shown = printable(std::string(100000, 'x'));
  EXPECT_LT(shown.size(), 120u);
  EXPECT_TRUE(shown.ends_with("..."));
}

}  // namespace
}  // namespace kvpress
