// The server's page in a real browser: it asks, the answer comes, the bar moves; light and dark, on a phone.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "browser.h"
#include "serve/http_server.h"
#include "service_model.h"

namespace kvpress::serve {
namespace {

using kvpress::test::Browser;
using test::DemoService;

class ChatPage : public testing::Test {
 protected:
  void SetUp() override {
    if (kvpress::test::find_browser().empty()) GTEST_SKIP() << "no Chromium here: apt-get install chromium";
    server_ =
        std::make_unique<DemoService>(SchedulerSettings{.chunk = 64}, std::size_t{64} << 20, "snapkv(window_size=8)");
    HttpSettings settings;
    settings.port = 0;
    http_ = std::make_unique<HttpServer>(settings, [this](const Call& call) { return server_->service.handle(call); });
    http_->start();
    browser_ = std::make_unique<Browser>();
  }

  void open(int width = 1000, int height = 800, bool phone = false) {
    browser_->open_url(http_->url(), width, height, phone);
    wait_for("document.getElementById('model').textContent === 'demo'");
  }
  Browser::Json js(const std::string& expression) { return browser_->evaluate(expression); }
  void wait_for(const std::string& condition) {
    for (int i = 0; i < 600; ++i) {
      if (js(condition) == true) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    FAIL() << "never: " << condition;
  }
  void ask(const std::string& text) {
    js("document.getElementById('text').value = '" + text + "'");
    browser_->click("document.getElementById('send')");
  }
  std::string answers(const std::string& rest) const { return "document.querySelectorAll('article.assistant')" + rest; }
  /// Into the folder that KVPRESS_SCREENSHOTS names, for people.
  void picture(const std::string& name) {
    if (const char* folder = std::getenv("KVPRESS_SCREENSHOTS")) {  // NOLINT(concurrency-mt-unsafe)
      browser_->screenshot(std::filesystem::path(folder) / (name + ".png"));
    }
  }

  std::unique_ptr<DemoService> server_;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<Browser> browser_;
};

TEST_F(ChatPage, AsksShowsTheAnswerAndMovesTheBar) {
  open();
  const auto width = "document.querySelector('#bar .snapshots').getBoundingClientRect().width";
  wait_for("document.querySelector('#bar .fixed').getBoundingClientRect().width > 0");
  EXPECT_EQ(js(width), 0);
  EXPECT_EQ(js("document.getElementById('summary').textContent"), "snapkv(window_size=8), budget 0.5");
  browser_->click("document.getElementById('shade')");
  js("document.getElementById('settings').open = true");
  js("document.getElementById('shade').checked = true");
  ask("The old man sat by the window and looked at the sea, and the boats had not gone out for many days.");
  wait_for(answers(".length === 1") + " && " + answers("[0].querySelector('p').textContent.length > 5"));
  wait_for("document.getElementById('stop').hidden");
  wait_for(answers("[0].querySelector('small').textContent.includes('tokens per head (snapkv')"));
  wait_for(std::string(width) + " > 0");
  EXPECT_GT(js(answers("[0].querySelectorAll('mark').length")), 20);
  EXPECT_NE(js("document.getElementById('memory-text').textContent").get<std::string>().find("of 64 MiB"),
            std::string::npos);
  picture("light");
  ask("And then?");
  wait_for(answers(".length === 2"));
  wait_for("document.getElementById('stop').hidden");
  EXPECT_FALSE(js(answers("[1].querySelector('small').textContent.includes('(0 reused)')")))
      << "the first turn is reused";
  EXPECT_TRUE(browser_->complaints.empty()) << browser_->complaints.front();
  for (const std::string& it : browser_->requests) {
    EXPECT_TRUE(it.starts_with(http_->url()) || it.starts_with("data:")) << it;
  }
}

TEST_F(ChatPage, StopsAnAnswer) {
  open();
  js("document.getElementById('max-tokens').value = 900");
  ask("Once upon a time");
  wait_for(answers(".length === 1") + " && " + answers("[0].querySelector('p').textContent.length > 0"));
  browser_->click("document.getElementById('stop')");
  wait_for("document.getElementById('stop').hidden");
}

TEST_F(ChatPage, KeepsTheEndOfAnAnswerInSight) {
  open(390, 780, true);
  js("document.getElementById('max-tokens').value = 900");
  ask("Once upon a time");
  wait_for("document.getElementById('clear').disabled");
  wait_for("document.getElementById('talk').scrollHeight > document.getElementById('talk').clientHeight + 100");
  EXPECT_LT(js("(t => t.scrollHeight - t.scrollTop - t.clientHeight)(document.getElementById('talk'))"), 40);
  browser_->click("document.getElementById('stop')");
  wait_for("document.getElementById('stop').hidden && !document.getElementById('clear').disabled");
}

TEST_F(ChatPage, ShowsErrorsAndWritesNoHtml) {
  open();
  js("document.getElementById('budget').value = 'many'");
  ask("<img src=x onerror=window.hacked=1>");
  wait_for("document.querySelectorAll('article.error').length === 1");
  EXPECT_NE(js("document.querySelector('article.error').textContent").get<std::string>().find("kvpress.budget"),
            std::string::npos);
  EXPECT_TRUE(js("window.hacked").is_null());
  EXPECT_EQ(js("document.querySelectorAll('main img').length"), 0);
}

TEST_F(ChatPage, FitsAPhoneAndTheDark) {
  open(390, 780, true);
  browser_->prefer("dark");
  ask("The old man sat by the window and looked at the sea.");
  wait_for(answers(".length === 1") + " && " + answers("[0].querySelector('small') !== null"));
  wait_for("document.getElementById('stop').hidden");
  EXPECT_LE(js("document.documentElement.scrollWidth"), 390);
  const std::string dark = js("getComputedStyle(document.body).backgroundColor");
  picture("phone_dark");
  browser_->prefer("light");
  EXPECT_NE(js("getComputedStyle(document.body).backgroundColor"), dark);
}

}  // namespace
}  // namespace kvpress::serve
