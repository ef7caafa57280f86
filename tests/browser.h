// A headless Chromium that a test drives through the DevTools protocol, over two pipes.
#pragma once

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "temporary_folder.h"

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace kvpress::test {

/// The browser's path: KVPRESS_BROWSER, or Debian's chromium; empty when there is none.
inline std::string find_browser() {
  if (const char* chosen = std::getenv("KVPRESS_BROWSER")) return chosen;
  for (const char* it : {"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"}) {
    if (::access(it, X_OK) == 0) return it;
  }
  return {};
}

class Browser {
 public:
  using Json = nlohmann::json;

  Browser() {
    std::array<int, 2> to{}, from{};
    if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    // Their ends are moved out of the way of 3 and 4, where the browser looks for them.
    const int in = ::fcntl(to[0], F_DUPFD_CLOEXEC, 10);
    const int out = ::fcntl(from[1], F_DUPFD_CLOEXEC, 10);
    write_ = ::fcntl(to[1], F_DUPFD_CLOEXEC, 10);
    read_ = ::fcntl(from[0], F_DUPFD_CLOEXEC, 10);
    for (const int fd : {to[0], to[1], from[0], from[1]}) ::close(fd);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in, 3);
    ::posix_spawn_file_actions_adddup2(&actions, out, 4);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    // A group of its own, so that all its processes end with it.
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    std::vector<std::string> words = {find_browser(),
                                      "--headless=new",
                                      "--no-sandbox",
                                      "--disable-gpu",
                                      "--disable-dev-shm-usage",
                                      "--hide-scrollbars",
                                      "--no-first-run",
                                      "--disable-extensions",
                                      "--disable-background-networking",
                                      "--disable-component-update",
                                      "--remote-debugging-pipe",
                                      "--user-data-dir=" + (profile_.path() / "profile").string(),
                                      "about:blank"};
    std::vector<char*> arguments;
    for (std::string& it : words) arguments.push_back(it.data());
    arguments.push_back(nullptr);
    const int error = ::posix_spawn(&child_, words[0].c_str(), &actions, &attributes, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    ::close(in);
    ::close(out);
    if (error != 0) throw std::runtime_error("the browser cannot be started");
  }
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;
  ~Browser() {
    ::kill(-child_, SIGKILL);
    int status = 0;
    ::waitpid(child_, &status, 0);
    ::close(read_);
    ::close(write_);
  }

  /// Opens a file as a page of its own, of that size, and waits until it is loaded.
  void open(const std::filesystem::path& page, int width, int height, bool phone = false) {
    open_url("file://" + page.string(), width, height, phone);
  }
  void open_url(const std::string& url, int width, int height, bool phone = false) {
    const Json target = call("Target.createTarget", {{"url", "about:blank"}});
    session_.clear();
    session_ = call("Target.attachToTarget", {{"targetId", target["targetId"]}, {"flatten", true}})["sessionId"]
                   .get<std::string>();
    complaints.clear();
    requests.clear();
    for (const char* domain : {"Page", "Runtime", "Log", "Network"}) call(std::string(domain) + ".enable");
    resize(width, height, phone);
    loaded_ = false;
    call("Page.navigate", {{"url", url}});
    while (!loaded_) handle(next_message());
    settle();
  }

  void resize(int width, int height, bool phone) {
    call("Emulation.setDeviceMetricsOverride",
         {{"width", width}, {"height", height}, {"deviceScaleFactor", phone ? 2 : 1}, {"mobile", phone}});
  }
  void prefer(const std::string& scheme) {
    call("Emulation.setEmulatedMedia",
         {{"features", Json::array({{{"name", "prefers-color-scheme"}, {"value", scheme}}})}});
  }

  /// The value of an expression; throws when it throws.
  Json evaluate(const std::string& expression) {
    const Json answer =
        call("Runtime.evaluate", {{"expression", expression}, {"returnByValue", true}, {"awaitPromise", true}});
    if (answer.contains("exceptionDetails")) throw std::runtime_error(answer["exceptionDetails"].dump());
    return answer["result"].value("value", Json());
  }

  /// Until the page has drawn twice.
  void settle() {
    evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 30))))");
  }

  void move_to(double x, double y) { mouse("mouseMoved", x, y, 0); }
  void click_at(double x, double y, int times = 1) {
    move_to(x, y);
    for (int i = 1; i <= times; ++i) {
      mouse("mousePressed", x, y, i);
      mouse("mouseReleased", x, y, i);
    }
    settle();
  }
  /// Scrolls to the element that the expression gives and clicks its middle.
  void click(const std::string& element, int times = 1) {
    const Json at =
        evaluate("(() => { const it = " + element +
                 "; it.scrollIntoView({block: 'center', behavior: 'instant'}); const box = "
                 "it.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()");
    click_at(at[0], at[1], times);
  }

  void screenshot(const std::filesystem::path& path, bool whole_page = true) {
    const Json answer = call("Page.captureScreenshot", {{"format", "png"}, {"captureBeyondViewport", whole_page}});
    std::ofstream(path, std::ios::binary) << from_base64(answer["data"].get<std::string>());
  }

  std::vector<std::string> complaints;  ///< exceptions and errors on the console
  std::vector<std::string> requests;    ///< addresses that the page asked for

 private:
  void mouse(const char* type, double x, double y, int clicks) {
    call("Input.dispatchMouseEvent",
         {{"type", type}, {"x", x}, {"y", y}, {"button", clicks > 0 ? "left" : "none"}, {"clickCount", clicks}});
  }

  Json call(const std::string& method, const Json& parameters = Json::object()) {
    const int id = ++last_id_;
    Json message = {{"id", id}, {"method", method}, {"params", parameters}};
    if (!session_.empty()) message["sessionId"] = session_;
    const std::string text = message.dump();
    std::size_t written = 0;
    while (written <= text.size()) {  // the closing 0 goes with it
      const ssize_t n = ::write(write_, text.c_str() + written, text.size() + 1 - written);
      if (n <= 0) throw std::runtime_error("the browser does not listen");
      written += static_cast<std::size_t>(n);
    }
    while (true) {
      Json answer = next_message();
      if (answer.value("id", 0) != id) {
        handle(answer);
        continue;
      }
      if (answer.contains("error")) throw std::runtime_error(method + ": " + answer["error"].dump());
      return answer["result"];
    }
  }

  Json next_message() {
    while (true) {
      const std::size_t end = received_.find('\0');
      if (end != std::string::npos) {
        Json message = Json::parse(received_.substr(0, end));
        received_.erase(0, end + 1);
        return message;
      }
      pollfd waiting{read_, POLLIN, 0};
      if (::poll(&waiting, 1, 60'000) <= 0) throw std::runtime_error("the browser does not answer");
      std::array<char, 1 << 16> buffer{};
      const ssize_t n = ::read(read_, buffer.data(), buffer.size());
      if (n <= 0) throw std::runtime_error("the browser is gone");
      received_.append(buffer.data(), static_cast<std::size_t>(n));
    }
  }

  void handle(const Json& event) {
    const std::string method = event.value("method", "");
    if (method == "Page.loadEventFired") loaded_ = true;
    if (method == "Runtime.exceptionThrown") complaints.push_back(event["params"].dump());
    if (method == "Runtime.consoleAPICalled" && event["params"]["type"] != "log") {
      complaints.push_back(event["params"].dump());
    }
    if (method == "Log.entryAdded" && event["params"]["entry"]["level"] == "error") {
      complaints.push_back(event["params"].dump());
    }
    if (method == "Network.requestWillBeSent") {
      requests.push_back(event["params"]["request"]["url"].get<std::string>());
    }
  }

  static std::string from_base64(const std::string& text) {
    static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    unsigned value = 0;
    int bits = 0;
    for (const char c : text) {
      const std::size_t digit = digits.find(c);
      if (digit == std::string::npos) continue;
      value = value << 6 | static_cast<unsigned>(digit);
      bits += 6;
      if (bits < 8) continue;
      bits -= 8;
      bytes += static_cast<char>(value >> bits & 0xff);
    }
    return bytes;
  }

  TemporaryFolder profile_;
  pid_t child_ = 0;
  int read_ = -1;
  int write_ = -1;
  int last_id_ = 0;
  bool loaded_ = false;
  std::string session_;
  std::string received_;
};

}  // namespace kvpress::test
