#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <string_view>

#include "base/file.h"
#include "kvpress/base/error.h"
#include "test_data.h"
#include "tokenizer/jinja/template.h"

namespace kvpress {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

/// NOW of tools/references/chat_templates.py.
std::tm now() {
  std::tm date{};
  date.tm_year = 2025 - 1900;
  date.tm_mon = 2;
  date.tm_mday = 9;
  date.tm_hour = 14;
  date.tm_min = 5;
  date.tm_sec = 7;
  date.tm_wday = 0;
  date.tm_yday = 67;
  return date;
}

std::string rendered(const std::string& source, const Json& variables = Json::object()) {
  return jinja::Template("chat.jinja", source).render(variables, now());
}

/// The message of the Error, or "no error".
std::string error_of(const std::string& source, const Json& variables = Json::object()) {
  try {
    rendered(source, variables);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// `expected` has what jinja2 made of it: a text, or an error, whose words are Python's.
void expect_outcome(const std::string& source, const Json& variables, const Json& expected) {
  if (expected.contains("error")) {
    EXPECT_THAT(error_of(source, variables), HasSubstr("chat.jinja:")) << expected["error"];
    return;
  }
  try {
    EXPECT_EQ(rendered(source, variables), expected["text"].get<std::string>());
  } catch (const Error& error) {
    ADD_FAILURE() << error.what();
  }
}

const Json& references() {
  static const Json document = Json::parse(read_file(test::data_dir() / "chat/references.json"));
  return document;
}

void expect_families(const Json& document, std::size_t fewest_texts) {
  std::size_t n_texts = 0;
  for (const Json& family : document["families"]) {
    for (const auto& it : family["outcomes"].items()) {
      SCOPED_TRACE(family["name"].get<std::string>() + ", " + it.key());
      expect_outcome(family["template"].get<std::string>(), document["chats"][it.key()], it.value());
      n_texts += it.value().contains("text") ? 1 : 0;
    }
  }
  EXPECT_GE(n_texts, fewest_texts);
}

TEST(JinjaReferences, SmallTemplatesGiveWhatJinja2Gives) {
  EXPECT_GT(references()["cases"].size(), 1200u);
  for (const Json& it : references()["cases"]) {
    SCOPED_TRACE(it["template"].get<std::string>());
    expect_outcome(it["template"].get<std::string>(), references()["variables"], it);
  }
}

TEST(JinjaReferences, ConversationsGiveWhatJinja2Gives) { expect_families(references(), 200); }

TEST(JinjaReferences, TemplatesOfAFolderGiveWhatJinja2Gives) {
  const char* path = std::getenv("KVPRESS_CHAT_TEMPLATES");
  if (path == nullptr) GTEST_SKIP() << "KVPRESS_CHAT_TEMPLATES names no file of tools/references/chat_templates.py";
  expect_families(Json::parse(read_file(path)), 1);
}

TEST(Jinja, ErrorsNameTemplateLineAndReason) {
  EXPECT_EQ(error_of("a\n{{ 1 / 0 }}"), "chat.jinja:2: division by zero");
  EXPECT_EQ(error_of("\n\n{{ x.y }}"), "chat.jinja:3: 'x' is undefined");
  EXPECT_EQ(error_of("{% if true %}\n{{ raise_exception('Roles\\nmust alternate') }}{% endif %}"),
            "chat.jinja:2: Roles must alternate");
  EXPECT_EQ(error_of("{{ raise_exception('') }}"), "chat.jinja:1: the template raises an error without a message");
  EXPECT_EQ(error_of("{% if x %}\n{{ a"), "chat.jinja:2: expected '}}', got the end of the template");
  EXPECT_EQ(error_of("{% if x %}\n"), "chat.jinja:1: unexpected end of the template; 'endif' is missing");
  EXPECT_EQ(error_of("{% nosuch %}"), "chat.jinja:1: unknown tag 'nosuch'");
  EXPECT_EQ(error_of("\n{% include 'x' %}"), "chat.jinja:2: the tag 'include' is not supported in a chat template");
  EXPECT_EQ(error_of("{{ 1|nosuch }}"), "chat.jinja:1: no filter is named 'nosuch'");
  EXPECT_EQ(error_of("{{ [].append(1) }}"),
            "chat.jinja:1: access to attribute 'append' of 'list' object is unsafe: it would change it");
  EXPECT_EQ(error_of("{% for a in x recursive %}{% endfor %}", {{"x", {1}}}),
            "chat.jinja:1: recursive loops are not supported");
  EXPECT_THAT(error_of("{{ raise_exception('x' * 9999) }}"), HasSubstr("chat.jinja:1: xxx"));
  EXPECT_LT(error_of("{{ raise_exception('x' * 9999) }}").size(), 600u);
}

TEST(Jinja, NothingRunsWithoutEnd) {
  EXPECT_THAT(error_of("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("is nested too deep"));
  EXPECT_THAT(error_of("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}"),
              HasSubstr("is nested too deep"));
  EXPECT_THAT(error_of("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}"),
              HasSubstr("too "));
  EXPECT_THAT(error_of("{{ range(100001) }}"), HasSubstr("Range too big"));
  EXPECT_THAT(error_of("{{ range(-9223372036854775807, 9223372036854775807)|length }}"), HasSubstr("Range too big"));
  EXPECT_THAT(error_of("{{ 'a' * 99999999999 }}"), HasSubstr("too much text"));
  EXPECT_THAT(error_of("{{ [1] * 99999999999 }}"), HasSubstr("too much text"));
  EXPECT_THAT(error_of("{{ 'a'.ljust(99999999999) }}"), HasSubstr("too much text"));
  EXPECT_THAT(error_of("{{ ('a' * 100000).replace('a', 'b' * 100000) }}"), HasSubstr("too much text"));
  EXPECT_THAT(error_of("{{ '%99999999999d' % 1 }}"), HasSubstr("above 1000"));
  EXPECT_THAT(error_of("{{ '{:99999999999}'.format(1) }}"), HasSubstr("above 1000"));
  EXPECT_THAT(error_of("{{ 9 ** 99999 }}"), HasSubstr("64 bits"));
  EXPECT_THAT(error_of("{{ 9223372036854775807 + 1 }}"), HasSubstr("64 bits"));
  EXPECT_THAT(error_of("{{ (-9223372036854775807 - 1) // -1 }}"), HasSubstr("64 bits"));
  EXPECT_THAT(error_of("{{ 99999999999999999999 }}"), HasSubstr("too large"));
  EXPECT_THAT(
      error_of("{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"),
      HasSubstr("too much text"));
  EXPECT_THAT(error_of("{% set ns = namespace(l=[]) %}{% for i in range(999) %}{% set ns.l = [ns.l] %}{% endfor %}"),
              HasSubstr("nests lists and dicts"));
  EXPECT_THAT(
      error_of("{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}"
               "{{ ns.l }}"),
      HasSubstr("too "));
  EXPECT_THAT(error_of("{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}"), HasSubstr("is nested too deep"));
  EXPECT_THAT(error_of(std::string(5000, ' ') + "{{ " + std::string(5000, '(')), HasSubstr("nested more than"));
  std::string chain = "{{ 1";
  for (int i = 0; i < 5000; ++i) chain += "+1";
  EXPECT_THAT(error_of(chain + " }}"), HasSubstr("parts"));
  std::string blocks;
  for (int i = 0; i < 5000; ++i) blocks += "{% if 1 %}";
  EXPECT_THAT(error_of(blocks), HasSubstr("nested more than"));
  EXPECT_THAT(error_of(std::string(2 << 20, 'a')), HasSubstr("at most 1048576 are read"));
  Json deep = 1;
  for (int i = 0; i < 300; ++i) deep = Json::array({deep});
  EXPECT_THAT(error_of("x", {{"deep", deep}}), HasSubstr("nest"));
}

TEST(Jinja, WhatRefersToItselfIsFreed) {
  // The leak checker of the sanitizers sees what is not.
  EXPECT_EQ(rendered("{% set ns = namespace() %}{% set ns.self = ns %}x"), "x");
  EXPECT_EQ(rendered("{% set ns = namespace() %}{% macro m() %}{{ ns.a }}{% endmacro %}{% set ns.m = m %}{% set ns.a = "
                     "1 %}{{ ns.m() }}"),
            "1");
  EXPECT_EQ(rendered("{% macro m() %}{% set ns.c = caller %}{% endmacro %}{% set ns = namespace(c=0) %}"
                     "{% for i in range(20000) %}{% set last = ns.c %}{% call m() %}{{ last is callable }}{% endcall "
                     "%}{% endfor %}"
                     "{{ ns.c() }}"),
            "True");
}

TEST(Jinja, LongTextsPassThrough) {
  const std::string text = "word " + std::string(3000000, 'y') + " \n";
  const Json variables = {{"messages", {{{"role", "user"}, {"content", text}}}}};
  EXPECT_EQ(rendered("{% for m in messages %}<{{ m['content'] | trim }}>{% endfor %}", variables),
            fmt::format("<{}>", text.substr(0, text.size() - 2)));
}

TEST(Jinja, DamagedTemplatesEndWithTextOrAnError) {
  std::vector<std::string> sources;
  for (const Json& it : references()["families"]) sources.push_back(it["template"].get<std::string>());
  for (const Json& it : references()["cases"]) sources.push_back(it["template"].get<std::string>());
  const Json& chats = references()["chats"];
  std::mt19937_64 random(1);
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random() % n); };
  int n_texts = 0;
  int n_errors = 0;
  for (int turn = 0; turn < 3000; ++turn) {
    // Half of the time one of the long ones; pieces move within a template and between templates.
    std::string source = sources[below(2) == 0 ? below(8) : below(sources.size())];
    const std::string& other = sources[below(sources.size())];
    for (std::size_t n = 1 + below(4); n > 0; --n) {
      const std::size_t at = below(source.size() + 1);
      switch (below(4)) {
        case 0:
          source.erase(at, below(12));
          break;
        case 1:
          source.insert(at, other.substr(below(other.size() + 1), below(30)));
          break;
        case 2:
          source.insert(at, source.substr(below(source.size() + 1), below(60)));
          break;
        default:
          if (at < source.size()) source[at] = static_cast<char>(random());
      }
    }
    auto chat = chats.begin();
    std::advance(chat, static_cast<std::ptrdiff_t>(below(chats.size())));
    const std::string error = error_of(source, below(2) == 0 ? *chat : references()["variables"]);
    ++(error == "no error" ? n_texts : n_errors);
    if (error == "no error") continue;
    ASSERT_EQ(error.rfind("chat.jinja:", 0), 0u) << error;
    ASSERT_EQ(error.find('\n'), std::string::npos) << error;
  }
  EXPECT_GT(n_texts, 300);
  EXPECT_GT(n_errors, 300);
}

}  // namespace
}  // namespace kvpress
