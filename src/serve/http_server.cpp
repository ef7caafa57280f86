#include "serve/http_server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <httplib.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "kvpress/base/error.h"
#include "serve/connection_pool.h"

namespace kvpress::serve {
namespace {

/// Of a client that reads or writes nothing.
constexpr int kTimeoutSec = 10;
constexpr int kBacklog = 1024;

/// cpp-httplib's newer versions return whether a job was taken.
using Enqueued = decltype(std::declval<httplib::TaskQueue&>().enqueue(std::function<void()>()));

class Tasks : public httplib::TaskQueue {
 public:
  explicit Tasks(std::size_t most) : pool_(most) {}
  Enqueued enqueue(std::function<void()> job) override {
    pool_.enqueue(std::move(job));
    return Enqueued(true);
  }
  void shutdown() override { pool_.shutdown(); }

 private:
  ConnectionPool pool_;
};

struct Peer {
  std::string address;
  int port = 0;
  bool operator==(const Peer&) const = default;
};

std::optional<Peer> peer_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  char text[INET6_ADDRSTRLEN] = {};
  if (storage.ss_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&storage);
    ::inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
    return Peer{text, ntohs(in->sin_port)};
  }
  if (storage.ss_family != AF_INET6) return {};
  const auto* in = reinterpret_cast<const sockaddr_in6*>(&storage);
  ::inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
  return Peer{text, ntohs(in->sin6_port)};
}

/// The socket of a connection, which cpp-httplib does not show to handlers; -1 if it is not found.
int socket_to(const Peer& peer) {
  int found = -1;
  DIR* const folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return found;
  while (const dirent* entry = ::readdir(folder)) {  // NOLINT(concurrency-mt-unsafe): a stream of its own
    int fd = -1;
    const char* const end = entry->d_name + std::strlen(entry->d_name);
    if (std::from_chars(entry->d_name, end, fd).ec != std::errc() || fd == ::dirfd(folder)) continue;
    const std::optional<Peer> it = peer_of(fd);
    if (it && *it == peer) found = fd;
  }
  ::closedir(folder);
  return found;
}

/// Looks whether a client has closed its connection. For the time of one request: the socket stays open so long.
class ClientWatch {
 public:
  explicit ClientWatch(const httplib::Request& request) : peer_{request.remote_addr, request.remote_port} {}
  bool is_gone() {
    if (!looked_) socket_ = socket_to(peer_);
    looked_ = true;
    if (socket_ < 0) return false;
    pollfd state{socket_, POLLRDHUP, 0};
    return ::poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

 private:
  Peer peer_;
  int socket_ = -1;
  bool looked_ = false;
};

bool is_loopback(const std::string& host) { return host == "localhost" || host == "::1" || host.starts_with("127."); }

/// "localhost:8080" and "[::1]:8080" without the port.
std::string without_port(const std::string& host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

void set_reply(const Reply& reply, httplib::Response& response) {
  response.status = reply.status;
  for (const auto& [name, value] : reply.headers) response.set_header(name.c_str(), value.c_str());
  if (!reply.events) response.set_content(reply.body, reply.type.c_str());
}

/// What a request adds to a sum as long as it lives.
class HeldBytes {
 public:
  explicit HeldBytes(std::atomic<std::size_t>& sum) : sum_(sum) {}
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;
  ~HeldBytes() { sum_ -= own_; }
  /// The sum with it.
  std::size_t add(std::size_t n) {
    own_ += n;
    return sum_ += n;
  }

 private:
  std::atomic<std::size_t>& sum_;
  std::size_t own_ = 0;
};

}  // namespace

bool equal_in_constant_time(std::string_view given, std::string_view secret) {
  unsigned differs = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char other = secret.empty() ? '\0' : secret[i % secret.size()];
    differs |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(other);
  }
  return differs == 0;
}

struct HttpServer::Impl {
  HttpSettings settings;
  Handler handler;
  std::unique_ptr<httplib::Server> server;
  int listener = -1;
  int port = 0;
  std::thread thread;
  std::atomic<std::size_t> held{0};  // bytes of bodies

  void prepare();
  bool has_key(const httplib::Request& request) const;
  std::optional<ApiError> refusal(const httplib::Request& request) const;
  void answer(const httplib::Request& request, std::string body, httplib::Response& response) const;
  void read_and_answer(const httplib::Request& request, httplib::Response& response,
                       const httplib::ContentReader& reader);
  void bind();
};

bool HttpServer::Impl::has_key(const httplib::Request& request) const {
  constexpr std::string_view kBearer = "Bearer ";
  const std::string header = request.get_header_value("Authorization");
  if (!header.starts_with(kBearer)) return false;
  bool found = false;
  for (const std::string& key : settings.api_keys) {
    found = equal_in_constant_time(std::string_view(header).substr(kBearer.size()), key) || found;
  }
  return found;
}

/// What is refused whatever it asks for.
std::optional<ApiError> HttpServer::Impl::refusal(const httplib::Request& request) const {
  const bool is_open = request.path == "/" || request.path == "/health";
  if (!settings.api_keys.empty() && !is_open && !has_key(request)) {
    return ApiError(401, "invalid_request_error", "invalid_api_key", "",
                    "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'");
  }
  // A page of another site must not reach a server that only listens to this machine.
  const std::string host = request.get_header_value("Host");
  if (settings.api_keys.empty() && is_loopback(settings.host) && !host.empty() && !is_loopback(without_port(host))) {
    return ApiError(403, "invalid_request_error", "forbidden_host", "", "the server answers to localhost alone");
  }
  const std::string origin = request.get_header_value("Origin");
  if (!origin.empty() && origin != "http://" + host && origin != "https://" + host) {
    return ApiError(403, "invalid_request_error", "forbidden_origin", "", "pages of other sites are not answered");
  }
  return {};
}

/// Many large bodies at once would take more memory than the budget has for them.
void HttpServer::Impl::read_and_answer(const httplib::Request& request, httplib::Response& response,
                                       const httplib::ContentReader& reader) {
  const auto refuse = [&](const ApiError& error) {
    response.set_header("Connection", "close");  // its body stays unread
    set_reply(Service::error_reply(error), response);
  };
  if (request.is_multipart_form_data()) {
    refuse({415, "invalid_request_error", "", "", "a form is not possible; send the JSON object itself"});
    return;
  }
  std::string body;
  HeldBytes own{held};
  bool fits = true;
  const bool whole = reader([&](const char* data, std::size_t size) {
    fits = own.add(size) <= kBodiesAtATime * settings.max_body;
    if (fits) body.append(data, size);
    return fits;
  });
  if (whole && fits) {
    answer(request, std::move(body), response);
  } else if (!fits) {
    ApiError error(503, "server_error", "too_many_bodies", "", "too many large requests at once; try again later");
    error.retry_after = 1;
    refuse(error);
  } else if (response.status < 400) {
    response.status = 400;
  }
}

void HttpServer::Impl::answer(const httplib::Request& request, std::string body, httplib::Response& response) const {
  const auto watch = std::make_shared<ClientWatch>(request);
  Reply reply = handler({request.method, request.path, std::move(body), [watch] { return watch->is_gone(); }});
  set_reply(reply, response);
  if (!reply.events) return;
  const std::shared_ptr<Events> events = std::move(reply.events);
  response.set_header("Cache-Control", "no-cache");
  response.set_chunked_content_provider(
      reply.type.c_str(),
      [events, watch](std::size_t /*offset*/, httplib::DataSink& sink) {
        std::string text;
        if (!events->next(text)) {
          sink.done();
          return true;
        }
        if (!text.empty()) return static_cast<bool>(sink.write(text.data(), text.size()));
        return !watch->is_gone();
      },
      [events](bool /*whole*/) mutable {});
}

void HttpServer::Impl::prepare() {
  server->new_task_queue = [most = settings.max_connections] { return new Tasks(most); };
  server->set_keep_alive_max_count(1000);
  server->set_keep_alive_timeout(kTimeoutSec);
  server->set_read_timeout(kTimeoutSec);
  server->set_write_timeout(kTimeoutSec);
  server->set_tcp_nodelay(true);
  server->set_payload_max_length(settings.max_body);
  // The library's own options let a second server take the same port.
  server->set_socket_options([this](int fd) {
    const int yes = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    listener = fd;
  });
  server->set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
    const std::optional<ApiError> error = refusal(request);
    if (!error) return httplib::Server::HandlerResponse::Unhandled;
    set_reply(Service::error_reply(*error), response);
    return httplib::Server::HandlerResponse::Handled;
  });
  const httplib::Server::Handler all = [this](const httplib::Request& request, httplib::Response& response) {
    answer(request, {}, response);
  };
  const httplib::Server::HandlerWithContentReader with_body =
      [this](const httplib::Request& request, httplib::Response& response, const httplib::ContentReader& reader) {
        read_and_answer(request, response, reader);
      };
  server->Get(R"(/.*)", all);
  server->Post(R"(/.*)", with_body);
  server->Put(R"(/.*)", with_body);
  server->Delete(R"(/.*)", all);
  const httplib::Server::Handler errors = [this](const httplib::Request& /*request*/, httplib::Response& response) {
    if (!response.body.empty()) return;
    const std::string what = response.status == 413 ? fmt::format("the body is larger than {} bytes", settings.max_body)
                                                    : std::string("the request cannot be read");
    set_reply(Service::error_reply({response.status, "invalid_request_error", "", "", what}), response);
  };
  server->set_error_handler(errors);
}

void HttpServer::Impl::bind() {
  const bool bound = settings.port == 0 ? (port = server->bind_to_any_port(settings.host.c_str())) > 0
                                        : server->bind_to_port(settings.host.c_str(), settings.port);
  if (!bound) {
    fail("{}:{}: the port cannot be taken; is another server there? Use another {}", settings.host, settings.port,
         setting("port"));
  }
  if (settings.port != 0) port = settings.port;
  ::listen(listener, kBacklog);
}

HttpServer::HttpServer(const HttpSettings& settings, Handler handler) : impl_(std::make_unique<Impl>()) {
  impl_->settings = settings;
  impl_->handler = std::move(handler);
  if (settings.certificate.empty() != settings.private_key.empty()) {
    fail_setting("certificate", "needs {} as well, and the other way round", setting("private_key"));
  }
  if (settings.certificate.empty()) {
    impl_->server = std::make_unique<httplib::Server>();
  } else {
#ifdef CPPHTTPLIB_OPENSSL_SUPPORT
    impl_->server = std::make_unique<httplib::SSLServer>(settings.certificate.c_str(), settings.private_key.c_str());
    if (!impl_->server->is_valid()) {
      fail("{}: cannot be used for TLS with the key {}; both must be PEM files and belong together",
           settings.certificate, settings.private_key);
    }
#else
    fail_setting("certificate", "this program was built without TLS");
#endif
  }
  impl_->prepare();
  impl_->bind();
}

HttpServer::~HttpServer() {
  stop();
  if (!impl_->server->is_running() && impl_->listener >= 0 && !impl_->thread.joinable()) impl_->server->stop();
}

int HttpServer::port() const { return impl_->port; }

std::string HttpServer::url() const {
  const std::string host =
      impl_->settings.host.find(':') == std::string::npos ? impl_->settings.host : "[" + impl_->settings.host + "]";
  return fmt::format("{}://{}:{}", impl_->settings.certificate.empty() ? "http" : "https", host, impl_->port);
}

void HttpServer::start() {
  impl_->thread = std::thread([this] { impl_->server->listen_after_bind(); });
  while (!impl_->server->is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void HttpServer::stop() {
  if (!impl_->thread.joinable()) return;
  impl_->server->stop();
  impl_->thread.join();
}

}  // namespace kvpress::serve
