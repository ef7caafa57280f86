#include "hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include "kvpress/base/interrupt.h"
#include "kvpress/base/log.h"
#include "kvpress/base/version.h"

namespace kvpress {
namespace {

constexpr int kMaxRedirects = 10;
constexpr std::size_t kMaxErrorBody = 64 << 10;
/// Answers that are kept in memory are descriptions of models and pages of rows: a hundred books are below this.
constexpr std::size_t kMaxBody = 256 << 20;
constexpr std::size_t kMaxHeaders = 1 << 20;
constexpr long kConnectSeconds = 15;
/// A connection over which nothing comes for so long is taken as cut.
constexpr long kStalledSeconds = 30;

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, UrlDeleter>;

Url parse_url(const std::string& text) {
  Url url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) fail("'{}' is not a valid URL", text);
  return url;
}

std::string url_part(const Url& url, CURLUPart part) {
  char* value = nullptr;
  if (curl_url_get(url.get(), part, &value, CURLU_DEFAULT_PORT) != CURLUE_OK) return "";
  std::string text = value;
  curl_free(value);
  return text;
}

/// Where a redirect leads from `base`.
std::string redirected(const std::string& base, const std::string& location) {
  const Url url = parse_url(base);
  if (curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK) {
    fail("{}: redirects to '{}', which is not a valid URL", base, location);
  }
  std::string target = url_part(url, CURLUPART_URL);
  if (base.starts_with("https://") && !target.starts_with("https://")) {
    fail("{}: redirects to {}, which is not encrypted", base, target);
  }
  return target;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char it) { return std::tolower(it); });
  return text;
}

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char it) { return it == ' ' || it == '\t' || it == '\r' || it == '\n'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::optional<std::int64_t> leading_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0) return std::nullopt;
  return value;
}

/// The first byte of "bytes 100-199/200".
std::int64_t first_byte_of(const std::string& content_range) {
  const std::string_view text = content_range;
  const auto begin = text.find_first_of("0123456789");
  const auto first = begin == std::string_view::npos ? std::nullopt : leading_number(text.substr(begin));
  if (!first) fail("the Content-Range '{}' of the response is invalid", content_range);
  return *first;
}

/// What a moment's trouble on the way looks like.
bool helps_to_try_again(CURLcode code) {
  return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT ||
         code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
         code == CURLE_PARTIAL_FILE || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_HTTP2 ||
         code == CURLE_HTTP2_STREAM;
}

/// A transfer that failed, and how often in a row it is worth trying.
struct Failed {
  std::string why;
  int attempts;
};

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool helps_to_try_again(int status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/// How long the server wants to be left alone.
std::optional<double> stated_wait(const HttpResponse& response) {
  if (const auto seconds = leading_number(response.header("retry-after"))) return static_cast<double>(*seconds);
  // The hub's own: "api";r=0;t=55
  const std::string limit = response.header("ratelimit");
  const auto at = limit.find(";t=");
  if (limit.find(";r=0") != std::string::npos && at != std::string::npos) {
    if (const auto seconds = leading_number(std::string_view(limit).substr(at + 3))) {
      return static_cast<double>(*seconds) + 1;
    }
  }
  return std::nullopt;
}

void wait(double seconds) {
  using std::chrono::steady_clock;
  const auto until =
      steady_clock::now() + std::chrono::duration_cast<steady_clock::duration>(std::chrono::duration<double>(seconds));
  while (steady_clock::now() < until) {
    check_interrupt();
    std::this_thread::sleep_for(
        std::min<steady_clock::duration>(std::chrono::milliseconds(50), until - steady_clock::now()));
  }
}

class StringSink : public BodySink {
 public:
  explicit StringSink(const std::string& url) : url_(url) {}

  void begin(std::int64_t offset) override {
    if (offset > std::ssize(text)) {
      fail("{}: the response begins at byte {} instead of {}", url_origin(url_), offset, text.size());
    }
    text.resize(static_cast<std::size_t>(offset));
  }

  void take(std::string_view piece) override {
    if (text.size() + piece.size() > kMaxBody) {
      fail("{}: the response is longer than {} MiB", url_origin(url_), kMaxBody >> 20);
    }
    text += piece;
  }

  std::string text;

 private:
  const std::string& url_;
};

}  // namespace

/// What the callbacks of a transfer share. Exceptions must not pass through C: they wait in `thrown`.
struct HttpClient::Transfer {
  BodySink* sink = nullptr;
  HttpResponse response;
  std::int64_t n_taken = 0;  ///< bytes of the body that the sink has, counted from its beginning
  bool progressed = false;   ///< a byte came through
  bool begun = false;
  std::size_t n_header_bytes = 0;
  std::exception_ptr thrown;

  void begin_body() {
    if (begun) return;
    begun = true;
    n_taken = response.status == 206 ? first_byte_of(response.header("content-range")) : 0;
    sink->begin(n_taken);
  }

  template <typename Function>
  bool guarded(Function&& function) {
    try {
      check_interrupt();
      function();
      return true;
    } catch (...) {
      thrown = std::current_exception();
      return false;
    }
  }

  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    const std::string_view line = trimmed({data, size * count});
    transfer.n_header_bytes += size * count;
    if (transfer.n_header_bytes > kMaxHeaders) {
      transfer.guarded([&] { fail("{}: the response has too many headers", url_origin(transfer.response.url)); });
      return 0;
    }
    if (line.starts_with("HTTP/")) {
      transfer.response.headers.clear();
      const auto space = line.find(' ');
      transfer.response.status =
          space == std::string_view::npos ? 0 : static_cast<int>(leading_number(line.substr(space + 1)).value_or(0));
    } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
      transfer.response.headers[lower(std::string(line.substr(0, colon)))] = trimmed(line.substr(colon + 1));
    }
    return size * count;
  }

  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    const std::string_view piece(data, size * count);
    const bool go_on = transfer.guarded([&] {
      if (transfer.response.ok()) {
        transfer.begin_body();
        transfer.sink->take(piece);
        transfer.n_taken += static_cast<std::int64_t>(piece.size());
        transfer.progressed = true;
      } else if (!is_redirect(transfer.response.status)) {
        std::string& body = transfer.response.body;
        body += piece.substr(0, kMaxErrorBody - std::min(kMaxErrorBody, body.size()));
      }
    });
    return go_on ? piece.size() : 0;
  }

  static int on_progress(void* self, curl_off_t /*to_get*/, curl_off_t /*got*/, curl_off_t /*to_put*/,
                         curl_off_t /*put*/) {
    return static_cast<Transfer*>(self)->guarded([] {}) ? 0 : 1;
  }
};

HttpClient::HttpClient(const RetrySettings& retries) : retries_(retries), curl_(curl_easy_init(), curl_easy_cleanup) {
  if (curl_ == nullptr) fail("libcurl: cannot be initialized");
}

HttpClient::~HttpClient() = default;

HttpResponse HttpClient::send(const HttpRequest& request, const std::string& url, bool with_token,
                              std::int64_t first_byte, Transfer& transfer) {
  transfer.response = {};
  transfer.response.url = url;
  transfer.begun = false;
  transfer.n_header_bytes = 0;
  CURL* curl = curl_.get();
  curl_easy_reset(curl);
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl, option, value); };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_USERAGENT, fmt::format("kvpress.cpp/{}", version()).c_str());
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  if (request.head) set(CURLOPT_NOBODY, 1L);
  if (first_byte > 0) set(CURLOPT_RANGE, fmt::format("{}-", first_byte).c_str());
  // libcurl itself does not look at the variables that other programs take a machine's own certificates from.
  for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    if (const char* file = std::getenv(name); file != nullptr && *file != '\0') {
      set(CURLOPT_CAINFO, file);
      break;
    }
  }
  // Sizes and hashes are those of the file as it is.
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(
      curl_slist_append(nullptr, "Accept-Encoding: identity"), &curl_slist_free_all);
  if (with_token && !request.token.empty()) {
    curl_slist* longer = curl_slist_append(headers.get(), ("Authorization: Bearer " + request.token).c_str());
    if (longer == nullptr) throw std::bad_alloc();
  }
  set(CURLOPT_HTTPHEADER, headers.get());
  char reason[CURL_ERROR_SIZE] = "";
  set(CURLOPT_ERRORBUFFER, reason);

  const CURLcode code = curl_easy_perform(curl);
  if (transfer.thrown != nullptr) std::rethrow_exception(std::exchange(transfer.thrown, nullptr));
  if (code != CURLE_OK) {
    // Where nobody answers at all, a person without a network should not wait for long.
    const bool nobody = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT;
    const int attempts = !helps_to_try_again(code) ? 1 : nobody ? std::min(3, retries_.attempts) : retries_.attempts;
    throw Failed{*reason != '\0' ? reason : curl_easy_strerror(code), attempts};
  }
  if (transfer.response.ok() && !request.head) transfer.begin_body();
  return transfer.response;
}

HttpResponse HttpClient::follow(const HttpRequest& request, std::int64_t first_byte, Transfer& transfer) {
  const std::string home = url_origin(request.url);
  std::string url = request.url;
  bool at_home = true;  // once left, the token stays behind for good
  for (int hop = 0; hop <= kMaxRedirects; ++hop) {
    HttpResponse response = send(request, url, at_home, first_byte, transfer);
    const std::string location = response.header("location");
    if (!is_redirect(response.status) || location.empty()) return response;
    url = redirected(url, location);
    at_home = at_home && url_origin(url) == home;
    if (!at_home && !request.leaves_host) return response;
  }
  fail("{}: redirected more than {} times", request.url, kMaxRedirects);
}

HttpResponse HttpClient::get(const HttpRequest& request, BodySink& sink) {
  Transfer transfer;
  transfer.sink = &sink;
  transfer.n_taken = request.first_byte;
  int failures = 0;
  for (;;) {
    transfer.progressed = false;
    std::string trouble;
    std::optional<double> asked;
    int attempts = retries_.attempts;
    HttpResponse response;
    try {
      response = follow(request, transfer.n_taken, transfer);
      if (!helps_to_try_again(response.status)) return response;
      trouble = fmt::format("HTTP status {}", response.status);
      asked = stated_wait(response);
    } catch (const Failed& failed) {
      trouble = failed.why;
      attempts = failed.attempts;
    }
    failures = transfer.progressed ? 1 : failures + 1;
    const double pause = asked.value_or(retries_.first_wait_sec * static_cast<double>(1 << (failures - 1)));
    if (failures >= attempts || pause > retries_.longest_wait_sec) {
      if (response.status != 0) return response;
      throw Unreachable(fmt::format("{}: cannot be reached: {}", url_origin(request.url), trouble));
    }
    log_info(fmt::format("{}: {}; retrying in {:.1f} s", url_origin(request.url), trouble, pause));
    wait(pause);
  }
}

HttpResponse HttpClient::get(const HttpRequest& request) {
  StringSink sink(request.url);
  HttpResponse response = get(request, sink);
  if (response.ok()) response.body = std::move(sink.text);
  return response;
}

std::string HttpResponse::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::string url_quoted(std::string_view text, bool keep_slashes) {
  std::string quoted;
  for (const char it : text) {
    const auto byte = static_cast<unsigned char>(it);
    const bool plain = (byte < 0x80 && std::isalnum(byte) != 0) || it == '-' || it == '_' || it == '.' || it == '~';
    if (plain || (keep_slashes && it == '/')) {
      quoted += it;
    } else {
      quoted += fmt::format("%{:02X}", byte);
    }
  }
  return quoted;
}

std::string url_origin(const std::string& url) {
  const Url parsed = parse_url(url);
  return lower(fmt::format("{}://{}:{}", url_part(parsed, CURLUPART_SCHEME), url_part(parsed, CURLUPART_HOST),
                           url_part(parsed, CURLUPART_PORT)));
}

}  // namespace kvpress
