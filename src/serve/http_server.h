// The server's connections, by cpp-httplib: a thread for each connection at hand, keys, limits, and clients that
// vanish.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "serve/service.h"

namespace kvpress::serve {

struct HttpSettings {
  std::string host = "127.0.0.1";
  int port = 8080;  ///< 0: any that is free
  std::vector<std::string> api_keys =
      {};  ///< one of them must come as "Authorization: Bearer ..."; none: no key is needed
  std::size_t max_body = std::size_t{8} << 20;     ///< bytes of a request; of all together kBodiesAtATime times as many
  std::string certificate = {}, private_key = {};  ///< PEM files for TLS; empty: none
  std::size_t max_connections = 1200;              ///< at a time; more wait until one ends
};

/// Bodies of the largest size that are held at a time; more are refused (503).
inline constexpr std::size_t kBodiesAtATime = 4;

class HttpServer {
 public:
  using Handler = std::function<Reply(const Call&)>;

  /// Takes the port. Throws Error with host and port if it cannot, or with the certificate.
  HttpServer(const HttpSettings& settings, Handler handler);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();

  int port() const;
  /// "http://127.0.0.1:8080"
  std::string url() const;
  /// Answers from now on, in threads of its own.
  void start();
  /// Takes no more connections and waits until those at hand have ended.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Whether two texts are equal, in a time that does not tell where they differ.
bool equal_in_constant_time(std::string_view given, std::string_view secret);

}  // namespace kvpress::serve
