#include "hub/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "http_server.h"

namespace kvpress {
namespace {

using testing::HasSubstr;

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

/// What get() says where a server answers so.
std::string error_of(const test::Reply& reply) {
  const test::HttpServer server([&](const test::Request&) { return reply; });
  HttpClient client(RetrySettings{.attempts = 1});
  try {
    client.get({.url = server.url() + "/x"});
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Http, AnAnswerWithoutEndDoesNotFillTheMemory) {
  // More than is taken, whatever the server says of its length.
  test::Reply reply;
  reply.body.assign((256u << 20) + 1, 'x');
  EXPECT_THAT(error_of(reply), HasSubstr("longer than 256 MiB"));
}

TEST(Http, ARangeThatWasNotAskedForIsRefused) {
  test::Reply reply;
  reply.status = 206;
  reply.headers = {{"Content-Range", "bytes 1000000000000-1000000000001/1000000000002"}};
  reply.body = "ab";
  EXPECT_THAT(error_of(reply), HasSubstr("begins at byte 1000000000000 instead of 0"));
}

TEST(Http, HeadersWithoutEndAreRefused) {
  test::Reply reply;
  for (int i = 0; i < 200; ++i) reply.headers.emplace_back("X-" + std::to_string(i), std::string(8000, 'x'));
  EXPECT_THAT(error_of(reply), testing::AnyOf(HasSubstr("too many headers"), HasSubstr("cannot be reached")));
}

}  // namespace
}  // namespace kvpress
