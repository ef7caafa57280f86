// Fetching by HTTP: redirects, retries, resuming. libcurl does the transport.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "kvpress/base/error.h"

namespace kvpress {

/// No answer came: no network, no such host, a connection that stays cut.
class Unreachable : public Error {
 public:
  using Error::Error;
};

/// Takes a body as it comes. A connection that is cut is taken up again where it was cut, when the server can do that.
class BodySink {
 public:
  virtual ~BodySink() = default;
  /// What follows is the body from this byte on: 0, or where the body was cut.
  virtual void begin(std::int64_t offset) = 0;
  virtual void take(std::string_view piece) = 0;
};

struct HttpRequest {
  std::string url;
  std::string token = {};       ///< sent as a bearer's, to the host of `url` alone; empty: none
  std::int64_t first_byte = 0;  ///< ask for the body from here on
  bool head = false;            ///< headers alone
  bool leaves_host = true;      ///< follow redirects to other hosts too; else answer with such a redirect
};

struct HttpResponse {
  int status = 0;
  std::string url;                             ///< where it came from in the end
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;                            ///< of an error (its first 64 KiB), or of get() without a sink

  bool ok() const { return status >= 200 && status < 300; }
  /// Empty when there is none of that name, which must be in lower case.
  std::string header(const std::string& name) const;
};

struct RetrySettings {
  int attempts = 6;               ///< in a row without a byte coming through
  double first_wait_sec = 0.5;    ///< doubled from try to try
  double longest_wait_sec = 300;  ///< a server that asks for more (Retry-After) is not waited for
};

/// Keeps connections open from request to request. Not to be used by two threads at once.
class HttpClient {
 public:
  explicit HttpClient(const RetrySettings& retries = {});
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  /// The answer, whatever its status, after trying again where that helps: after 408, 429 (waiting as long as the
  /// server says), 500, 502, 503, 504 and cut connections. A body with a 2xx status goes to the sink. Throws
  /// Unreachable, and Interrupted on Ctrl-C within a second; what the sink throws comes through.
  HttpResponse get(const HttpRequest& request, BodySink& sink);
  /// The same with the body in the response.
  HttpResponse get(const HttpRequest& request);

 private:
  struct Transfer;
  HttpResponse follow(const HttpRequest& request, std::int64_t first_byte, Transfer& transfer);
  HttpResponse send(const HttpRequest& request, const std::string& url, bool with_token, std::int64_t first_byte,
                    Transfer& transfer);

  RetrySettings retries_;
  std::unique_ptr<void, void (*)(void*)> curl_;
};

/// The text as part of a URL; / stays when `keep_slashes`.
std::string url_quoted(std::string_view text, bool keep_slashes = false);

/// "https://host:port" of a URL. Throws Error for what is none.
std::string url_origin(const std::string& url);

}  // namespace kvpress
