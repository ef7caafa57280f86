#include "hub/http.h"

#include <gtest/gtest.h>

namespace kvpress {
namespace {

TEST(Url, Quoted) {
  EXPECT_EQ(url_quoted("refs/pr/1"), "refs%2Fpr%2F1");
  EXPECT_EQ(url_quoted("deep/a b+c.gguf", true), "deep/a%20b%2Bc.gguf");
  EXPECT_EQ(url_quoted("\xc3\xa9"), "%C3%A9");
}

TEST(Url, OriginIsSchemeHostAndPort) {
  EXPECT_EQ(url_origin("https://Hub.example/a?b"), "https://hub.example:443");
  EXPECT_EQ(url_origin("http://127.0.0.1:8080/a"), "http://127.0.0.1:8080");
  EXPECT_NE(url_origin("http://hub.example"), url_origin("https://hub.example"));
  EXPECT_THROW(url_origin("no address"), Error);
}

}  // namespace
}  // namespace kvpress
