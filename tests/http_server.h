// An HTTP server for tests, on 127.0.0.1 at a port of its own: answers one request after another as it is told to.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "kvpress/base/error.h"

namespace kvpress::test {

struct Request {
  std::string method;
  std::string path;                            ///< decoded, without the query
  std::string query;                           ///< decoded
  std::map<std::string, std::string> headers;  ///< names in lower case

  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct Reply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  std::optional<std::size_t> cut_after = {};    ///< close the connection after so many bytes of the body
  std::optional<std::size_t> stall_after = {};  ///< send no more after so many, until the other side is gone
};

class HttpServer {
 public:
  using Handler = std::function<Reply(const Request&)>;

  explicit HttpServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    if (listener_ < 0 || ::bind(listener_, any, size) != 0 || ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, any, &size) != 0) {
      throw Error("no server for the test");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer() {
    stop_ = true;
    thread_.join();
    ::close(listener_);
  }

  int port() const { return port_; }
  /// The same server under another name is another host.
  std::string url(const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(port_);
  }

  std::vector<Request> requests() const {
    const std::scoped_lock lock(mutex_);
    return requests_;
  }
  std::size_t count(const std::string& method, const std::string& in_path) const {
    const auto all = requests();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const Request& it) {
      return it.method == method && it.path.find(in_path) != std::string::npos;
    }));
  }
  void forget_requests() {
    const std::scoped_lock lock(mutex_);
    requests_.clear();
  }

 private:
  static constexpr int kTickMs = 20;

  bool readable(int fd) const {
    pollfd waiting{fd, POLLIN, 0};
    while (!stop_) {
      if (::poll(&waiting, 1, kTickMs) > 0) return true;
    }
    return false;
  }

  static std::string decoded(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '%' && i + 2 < text.size()) {
        plain += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
        i += 2;
      } else {
        plain += text[i];
      }
    }
    return plain;
  }

  static Request parsed(const std::string& text) {
    Request request;
    const auto line_end = text.find("\r\n");
    const std::string line = text.substr(0, line_end);
    const auto first = line.find(' ');
    const auto second = line.find(' ', first + 1);
    request.method = line.substr(0, first);
    const std::string target = line.substr(first + 1, second - first - 1);
    const auto question = target.find('?');
    request.path = decoded(target.substr(0, question));
    if (question != std::string::npos) request.query = decoded(target.substr(question + 1));
    for (auto at = line_end + 2; at < text.size();) {
      const auto end = text.find("\r\n", at);
      const std::string header = text.substr(at, end - at);
      if (const auto colon = header.find(": "); colon != std::string::npos) {
        std::string name = header.substr(0, colon);
        std::transform(name.begin(), name.end(), name.begin(), [](unsigned char it) { return std::tolower(it); });
        request.headers[name] = header.substr(colon + 2);
      }
      at = end + 2;
    }
    return request;
  }

  static bool send_all(int fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  void answer(int fd) {
    std::string text;
    while (text.find("\r\n\r\n") == std::string::npos) {
      char buffer[4096];
      if (!readable(fd)) return;
      const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) return;
      text.append(buffer, static_cast<std::size_t>(n));
    }
    const Request request = parsed(text);
    {
      const std::scoped_lock lock(mutex_);
      requests_.push_back(request);
    }
    const Reply reply = handler_(request);
    std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " Told\r\nConnection: close\r\n";
    bool sized = false;
    for (const auto& [name, value] : reply.headers) {
      head += name + ": " + value + "\r\n";
      sized = sized || name == "Content-Length";
    }
    if (!sized) head += "Content-Length: " + std::to_string(reply.body.size()) + "\r\n";
    if (!send_all(fd, head + "\r\n") || request.method == "HEAD") return;
    const std::size_t n = std::min({reply.body.size(), reply.cut_after.value_or(reply.body.size()),
                                    reply.stall_after.value_or(reply.body.size())});
    if (!send_all(fd, std::string_view(reply.body).substr(0, n))) return;
    if (reply.stall_after) readable(fd);
  }

  void serve() {
    while (readable(listener_)) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      answer(fd);
      ::close(fd);
    }
  }

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::thread thread_;
};

/// A variable of the environment that is as it was when the object is gone.
class ScopedVariable {
 public:
  ScopedVariable(std::string name, const std::optional<std::string>& value) : name_(std::move(name)) {
    if (const char* old = std::getenv(name_.c_str())) old_ = old;
    set(value);
  }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;
  ~ScopedVariable() { set(old_); }

 private:
  void set(const std::optional<std::string>& value) const {
    if (value) {
      ::setenv(name_.c_str(), value->c_str(), 1);
    } else {
      ::unsetenv(name_.c_str());
    }
  }
  std::string name_;
  std::optional<std::string> old_;
};

}  // namespace kvpress::test
