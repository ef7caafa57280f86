// HTTP requests with redirects, retries and resuming, over libcurl.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "kvpress/base/error.h"

namespace kvpress {

/// No response: no network, no such host, or a connection that breaks repeatedly.
class Unreachable : public Error {
 public:
  using Error::Error;
};

/// Receives a body in pieces. A broken connection is resumed where it broke, if the server supports it.
class BodySink {
 public:
  virtual ~BodySink() = default;
  /// The following pieces are the body from this byte on: 0, or where the connection broke.
  virtual void begin(std::int64_t offset) = 0;
  virtual void take(std::string_view piece) = 0;
};

struct HttpRequest {
  std::string url;
  std::string token = {};       ///< bearer token, sent only to the host of `url`; empty: none
  std::int64_t first_byte = 0;  ///< request the body from this byte on
  bool head = false;            ///< request only headers
  bool leaves_host = true;      ///< follow redirects to other hosts; otherwise return such a redirect
};

struct HttpResponse {
  int status = 0;
  std::string url;                             ///< after redirects
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;                            ///< of an error (first 64 KiB), or of get() without a sink

  bool ok() const { return status >= 200 && status < 300; }
  /// The value of a header, or empty if there is none. `name` must be in lower case.
  std::string header(const std::string& name) const;
};

struct RetrySettings {
  int attempts = 6;               ///< in a row without receiving a byte
  double first_wait_sec = 0.5;    ///< doubled after each attempt
  double longest_wait_sec = 300;  ///< fail if the server asks for more (Retry-After)
};

/// Keeps connections open between requests. Not thread-safe.
class HttpClient {
 public:
  explicit HttpClient(const RetrySettings& retries = {});
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  /// The response, whatever its status. Retries after 408, 429 (after the time that the server asks for), 500, 502,
  /// 503, 504 and broken connections. A body with a 2xx status goes to the sink. Throws Unreachable, Interrupted within
  /// a second of Ctrl-C, and exceptions of the sink.
  HttpResponse get(const HttpRequest& request, BodySink& sink);
  /// The same, with the body in the response.
  HttpResponse get(const HttpRequest& request);

 private:
  struct Transfer;
  HttpResponse follow(const HttpRequest& request, std::int64_t first_byte, Transfer& transfer);
  HttpResponse send(const HttpRequest& request, const std::string& url, bool with_token, std::int64_t first_byte,
                    Transfer& transfer);

  RetrySettings retries_;
  std::unique_ptr<void, void (*)(void*)> curl_;
};

/// `text` percent-encoded for a URL; / is kept if `keep_slashes`.
std::string url_quoted(std::string_view text, bool keep_slashes = false);

/// "https://host:port" of a URL. Throws Error if `url` is not a valid URL.
std::string url_origin(const std::string& url);

}  // namespace kvpress
