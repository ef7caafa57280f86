// The server over real connections: answers, streams, keys, limits, and clients that vanish.
#include "serve/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "service_model.h"

namespace kvpress::serve {
namespace {

using test::DemoService;
using Json = nlohmann::ordered_json;

struct DemoServer : DemoService {
  explicit DemoServer(HttpSettings settings = {}, const SchedulerSettings& scheduling = {.chunk = 64})
      : DemoService(scheduling),
        http(at_any_port(std::move(settings)), [this](const Call& it) { return service.handle(it); }) {
    http.start();
  }
  static HttpSettings at_any_port(HttpSettings settings) {
    settings.port = 0;
    return settings;
  }
  httplib::Client client() const {
    httplib::Client client("127.0.0.1", http.port());
    client.set_read_timeout(60);
    return client;
  }

  HttpServer http;
};

/// A connection by hand.
class Connection {
 public:
  explicit Connection(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{30, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  bool connected() const { return connected_; }
  void send(const std::string& text) const { ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  std::string read_some() const {
    char buffer[4096];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : "";
  }

 private:
  int fd_;
  bool connected_ = false;
};

std::string post(const std::string& path, const std::string& body) {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(HttpServer, AnswersAndStreams) {
  DemoServer server;
  auto client = server.client();
  const auto health = client.Get("/health");
  ASSERT_TRUE(health);
  EXPECT_EQ(health->status, 200);
  const Json body = {{"prompt", "Once upon a time"}, {"max_tokens", 8}, {"temperature", 0}};
  const auto whole = client.Post("/v1/completions", body.dump(), "application/json");
  ASSERT_TRUE(whole);
  const std::string expected = Json::parse(whole->body)["choices"][0]["text"];
  Json streamed = body;
  streamed["stream"] = true;
  const auto stream = client.Post("/v1/completions", streamed.dump(), "application/json");
  ASSERT_TRUE(stream);
  EXPECT_EQ(stream->get_header_value("Content-Type"), "text/event-stream");
  std::string text;
  for (std::size_t at = 0; (at = stream->body.find("data: {", at)) != std::string::npos; at += 6) {
    text += Json::parse(stream->body.substr(at + 6, stream->body.find("\n\n", at) - at - 6))["choices"][0]["text"];
  }
  EXPECT_EQ(text, expected);
  EXPECT_TRUE(stream->body.ends_with("data: [DONE]\n\n"));
  EXPECT_EQ(client.Get("/nothing")->status, 404);
  EXPECT_EQ(client.Delete("/v1/contexts/none")->status, 404);
  const auto page = client.Get("/");
  EXPECT_NE(page->body.find("</html>"), std::string::npos);
}

TEST(HttpServer, WantsAKeyIfThereIsOne) {
  DemoServer server({.api_keys = {"first", "second"}});
  auto client = server.client();
  EXPECT_EQ(client.Get("/v1/models")->status, 401);
  EXPECT_EQ(Json::parse(client.Get("/v1/models")->body)["error"]["code"], "invalid_api_key");
  for (const char* wrong : {"Bearer ", "Bearer firs", "Bearer firstt", "first", "Basic first"}) {
    EXPECT_EQ(client.Get("/v1/models", {{"Authorization", wrong}})->status, 401) << wrong;
  }
  for (const char* right : {"Bearer first", "Bearer second"}) {
    EXPECT_EQ(client.Get("/v1/models", {{"Authorization", right}})->status, 200) << right;
  }
  EXPECT_EQ(client.Get("/health")->status, 200);
  EXPECT_EQ(client.Post("/v1/completions", "{}", "application/json")->status, 401);
}

TEST(HttpServer, ComparesKeysAsAWhole) {
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abcabc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("ab", "abc"));
  EXPECT_FALSE(equal_in_constant_time("", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abd", "abc"));
}

TEST(HttpServer, RefusesPagesOfOtherSites) {
  DemoServer server;
  auto client = server.client();
  EXPECT_EQ(client.Get("/v1/models", {{"Origin", "http://evil.example"}})->status, 403);
  EXPECT_EQ(client.Get("/v1/models", {{"Host", "evil.example"}})->status, 403);
  const std::string own = "127.0.0.1:" + std::to_string(server.http.port());
  EXPECT_EQ(client.Get("/v1/models", {{"Origin", "http://" + own}})->status, 200);
}

TEST(HttpServer, LimitsBodies) {
  DemoServer server({.max_body = 1000});
  auto client = server.client();
  const auto reply = client.Post("/v1/completions", std::string(2000, ' '), "application/json");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 413);
  EXPECT_TRUE(Json::parse(reply->body).contains("error")) << reply->body;
  EXPECT_EQ(client.Post("/v1/completions", "{", "application/json")->status, 400);
  const auto form = client.Post("/v1/completions", "--x--", "multipart/form-data; boundary=x");
  ASSERT_TRUE(form);
  EXPECT_EQ(form->status, 415);
}

TEST(HttpServer, SurvivesWhatIsNoHttp) {
  DemoServer server;
  for (const std::string& text :
       {std::string("\r\n\r\n"), std::string("GET\r\n\r\n"), std::string(10000, 'a'),
        std::string("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n"),
        "GET /" + std::string(7000, 'a') + " HTTP/1.1\r\nHost: localhost\r\n\r\n",
        std::string("\x16\x03\x01\x02\x00\x01\x00", 7)}) {
    const Connection connection(server.http.port());
    connection.send(text);
    if (text.starts_with("GET /a")) {
      EXPECT_NE(connection.read_some().find(" 404 "), std::string::npos);
    }
  }
  EXPECT_EQ(server.client().Get("/health")->status, 200);
}

/// The generation of a client that closes its connection ends.
TEST(HttpServer, AVanishedClientIsCancelled) {
  for (const bool stream : {true, false}) {
    DemoServer server({}, {.chunk = 64, .max_sequences = 1});
    const Json body = {{"prompt", "Once"}, {"max_tokens", 1000}, {"ignore_eos", true}, {"stream", stream}};
    std::vector<std::unique_ptr<Connection>> connections;
    for (int i = 0; i < 3; ++i) {
      connections.push_back(std::make_unique<Connection>(server.http.port()));
      connections.back()->send(post("/v1/completions", body.dump()));
    }
    for (int i = 0; i < 400 && server.scheduler.counts().waiting < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    connections.clear();
    for (int i = 0; i < 400 && server.scheduler.counts().jobs_cancelled + server.scheduler.counts().jobs_done < 3;
         ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_GE(server.scheduler.counts().jobs_cancelled, 2) << stream;
    EXPECT_EQ(server.scheduler.counts().waiting, 0) << stream;
  }
}

/// Connections that ask nothing leave room for those that do.
TEST(HttpServer, ManyIdleConnectionsDoNoHarm) {
  DemoServer server;
  std::vector<std::unique_ptr<Connection>> idle;
  for (int i = 0; i < 300; ++i) {
    idle.push_back(std::make_unique<Connection>(server.http.port()));
    ASSERT_TRUE(idle.back()->connected()) << i;
  }
  auto client = server.client();
  const auto reply =
      client.Post("/v1/completions", Json({{"prompt", "Once"}, {"max_tokens", 4}}).dump(), "application/json");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
}

TEST(HttpServer, APortThatIsTakenIsAnError) {
  DemoServer server;
  HttpSettings same;
  same.port = server.http.port();
  try {
    const HttpServer second(same, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(same.port)), std::string::npos) << error.what();
  }
}

TEST(HttpServer, SpeaksTls) {
  const kvpress::test::TemporaryFolder folder;
  const std::string key = (folder.path() / "key.pem").string();
  const std::string cert = (folder.path() / "cert.pem").string();
  const std::string make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout " + key +
                           " -out " + cert + " >/dev/null 2>&1";
  if (std::system(make.c_str()) != 0) GTEST_SKIP() << "openssl is not there";  // NOLINT
  DemoServer server({.certificate = cert, .private_key = key});
  EXPECT_TRUE(server.http.url().starts_with("https://"));
  httplib::SSLClient client("127.0.0.1", server.http.port());
  client.enable_server_certificate_verification(false);
  const auto reply = client.Get("/health");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_THROW(HttpServer({.port = 0, .certificate = key, .private_key = cert}, {}), Error);
  EXPECT_THROW(HttpServer({.port = 0, .certificate = "/none", .private_key = "/none"}, {}), Error);
  EXPECT_THROW(HttpServer({.port = 0, .certificate = cert}, {}), UsageError);
}

}  // namespace
}  // namespace kvpress::serve
