#include "kvpress/tokenizer/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>

#include "formats/gguf_builder.h"
#include "kvpress/base/error.h"
#include "kvpress/tokenizer/chat_format.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kTemplate =
    "{% for m in messages %}{{ bos_token if loop.first }}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}";

/// A model's folder, as far as chat templates read it.
class Folder : public test::TemporaryFolder {
 public:
  ModelFiles files() const {
    ModelFiles files;
    files.path = path();
    files.config_json = path() / "config.json";
    return files;
  }
  std::string render(const ChatRendering& how = {}) const {
    const ChatMessage messages[] = {{"user", "Hi"}};
    return ChatTemplate(files()).render(messages, how);
  }
};

template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ChatTemplate, IsReadFromWhereTransformersReadsIt) {
  Folder folder;
  EXPECT_TRUE(ChatTemplate(folder.files()).empty());
  EXPECT_THAT(error_of([&] { folder.render(); }), HasSubstr("has no chat template"));
  folder.file("chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(folder.render(), "json");
  folder.file("tokenizer_config.json", R"({"chat_template": "config"})");
  EXPECT_EQ(folder.render(), "config");
  folder.file("tokenizer_config.json", R"({"chat_template": {"default": "of an object", "b": "other"}})");
  EXPECT_EQ(folder.render(), "of an object");
  folder.file(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "listed"}]})");
  EXPECT_EQ(folder.render(), "listed");
  EXPECT_EQ(folder.render({.name = "tool_use"}), "x");
  EXPECT_THAT(ChatTemplate(folder.files()).names(), ElementsAre("default", "tool_use"));
  EXPECT_THAT(error_of([&] { folder.render({.name = "rag"}); }), HasSubstr("named 'rag'; it has: default, tool_use"));
  folder.file("chat_template.jinja", "file\n");
  EXPECT_EQ(folder.render(), "file");
  EXPECT_THAT(ChatTemplate(folder.files()).names(), ElementsAre("default"));
  std::filesystem::create_directory(folder.path() / "additional_chat_templates");
  folder.file("additional_chat_templates/rag.jinja", "more");
  EXPECT_EQ(folder.render({.name = "rag"}), "more");
}

TEST(ChatTemplate, DamagedFilesAreNamed) {
  Folder folder;
  folder.file("tokenizer_config.json", R"({"chat_template": [{"name": "default"}]})");
  EXPECT_THAT(error_of([&] { folder.render(); }),
              HasSubstr("tokenizer_config.json: chat_template: must be a string, or a list"));
  folder.file("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_THAT(error_of([&] { folder.render(); }), HasSubstr("tokenizer_config.json: chat_template: must be"));
  folder.file("tokenizer_config.json", "[");
  EXPECT_THAT(error_of([&] { folder.render(); }), HasSubstr("tokenizer_config.json: is not a JSON object"));
  folder.file("tokenizer_config.json",
              "{\"chat_template\": " + std::string(100000, '[') + std::string(100000, ']') + "}");
  EXPECT_THAT(error_of([&] { folder.render(); }), HasSubstr("tokenizer_config.json: is nested deeper than 200 levels"));
  folder.file("tokenizer_config.json", R"({"chat_template": "a\n{{ nosuch.x }}"})");
  EXPECT_THAT(error_of([&] { folder.render(); }),
              HasSubstr("tokenizer_config.json: chat_template:2: 'nosuch' is undefined"));
}

TEST(ChatTemplate, KnowsTheSpecialTokens) {
  Folder folder;
  folder.file("chat_template.jinja", kTemplate);
  EXPECT_EQ(folder.render(), "[user]Hi[assistant]");
  folder.file("special_tokens_map.json", R"({"bos_token": "<b>", "eos_token": {"content": "<e>"}})");
  EXPECT_EQ(folder.render(), "<b>[user]Hi<e>[assistant]");
  folder.file("tokenizer_config.json", R"({"bos_token": {"content": "<B>"}, "image_token": "<i>"})");
  EXPECT_EQ(folder.render({.add_generation_prompt = false}), "<B>[user]Hi<e>");
  EXPECT_EQ(ChatTemplate(folder.files()).special_tokens().at("image_token"), "<i>");
}

TEST(ChatTemplate, IsReadFromAGguf) {
  const test::TemporaryFolder folder;
  test::GgufBuilder builder;
  builder.text("general.architecture", "llama").text("tokenizer.chat_template", kTemplate);
  builder.text("tokenizer.chat_template.tool_use", "tools").texts("tokenizer.ggml.tokens", {"<b>", "<e>"});
  builder.u32("tokenizer.ggml.bos_token_id", 0).u32("tokenizer.ggml.eos_token_id", 1);
  builder.u32("tokenizer.ggml.padding_token_id", 7);
  const GgufFile gguf(folder.file("model.gguf", builder.build()));
  ModelFiles files;
  files.path = "model.gguf";
  files.gguf = &gguf;
  const ChatTemplate chat(files);
  const ChatMessage messages[] = {{"user", "Hi"}, {"assistant", "Yes"}};
  EXPECT_EQ(chat.render(messages), "<b>[user]Hi<e>[assistant]Yes<e>[assistant]");
  EXPECT_EQ(chat.render(messages, {.name = "tool_use"}), "tools");
  EXPECT_EQ(chat.special_tokens().count("pad_token"), 0u);
}

TEST(ChatTemplate, TheDateIsTheCallers) {
  Folder folder;
  folder.file("chat_template.jinja", "{{ strftime_now('%d %b %Y, %A') }}");
  EXPECT_EQ(folder.render(), "26 Jul 2024, Friday");
  std::tm now{};
  now.tm_year = 100;
  now.tm_mday = 1;
  now.tm_wday = 6;
  ChatRendering how;
  how.now = now;
  EXPECT_EQ(folder.render(how), "01 Jan 2000, Saturday");
}

ChatFormat format_of(const std::string& chat, const std::string& name = "auto") {
  Folder folder;
  folder.file("chat_template.jinja", chat);
  folder.file("tokenizer_config.json", R"({"bos_token": "<b>"})");
  return chat_format(folder.files(), name, "chat_format");
}

TEST(ChatFormat, IsWhatTheTemplateWritesAroundTheText) {
  const ChatFormat format = format_of(kTemplate);
  EXPECT_EQ(format.name, "template");
  EXPECT_EQ(format.before, "<b>[user]");
  EXPECT_EQ(format.after, "[assistant]");
  EXPECT_FALSE(format.trims_begin);
  EXPECT_EQ(format.begin(" \nx "), "<b>[user] \nx ");
  const ChatFormat trimming = format_of("## {{ messages[0].content|trim }} ##\n\n{{ '#' * 20 }}");
  EXPECT_EQ(trimming.before, "## ");
  EXPECT_EQ(trimming.after, " ##\n\n" + std::string(20, '#'));
  EXPECT_TRUE(trimming.trims_begin);
  EXPECT_EQ(trimming.begin(" \n\u00a0x "), "## x ");
}

TEST(ChatFormat, WithoutATemplateTheTextIsPlain) {
  Folder folder;
  folder.file("tokenizer_config.json", R"({"bos_token": "<b>"})");
  const ChatFormat format = chat_format(folder.files(), "auto", "chat_format");
  EXPECT_EQ(format.name, "plain");
  EXPECT_EQ(format.before, "<b>");
  EXPECT_EQ(format.after, "\n");
  EXPECT_EQ(chat_format(folder.files(), "llama3", "chat_format").before,
            "<b><|start_header_id|>user<|end_header_id|>\n\n");
}

TEST(ChatFormat, KnownFormatsKeepTheirNames) {
  const std::string chatml =
      "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}{% for m in messages "
      "%}"
      "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}{{ '<|im_start|>assistant\\n' }}";
  for (const char* name : {"auto", "chatml"}) {
    const ChatFormat format = format_of(chatml, name);
    EXPECT_EQ(format.name, "chatml");
    EXPECT_EQ(format.before, "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n");
    EXPECT_EQ(format.after, "<|im_end|>\n<|im_start|>assistant\n");
  }
  EXPECT_EQ(format_of(kTemplate, "chatml").before, "<|im_start|>user\n");
  EXPECT_EQ(format_of("{{ nosuch.x }}", "chatml").before, "<|im_start|>user\n");
  EXPECT_EQ(format_of(chatml, "plain").before, "<b>");
}

TEST(ChatFormat, SaysWhatComesBetweenTurns) {
  EXPECT_EQ(format_of(kTemplate).between, "[user]");
  EXPECT_EQ(format_of(kTemplate, "chatml").between, "<|im_end|>\n<|im_start|>user\n");
  EXPECT_EQ(format_of("{{ messages[0].content }}").between, "") << "a template of one message";
  EXPECT_EQ(format_of(kTemplate, "plain").between, "\n");
}

TEST(ChatFormat, OfAConversationHasTheSystemMessage) {
  Folder folder;
  folder.file("chat_template.jinja", kTemplate);
  folder.file("tokenizer_config.json", R"({"bos_token": "<b>", "eos_token": "<e>"})");
  const ChatFormat format = conversation_format(folder.files(), "Be kind.", true);
  EXPECT_EQ(format.before, "<b>[system]Be kind.<e>[user]");
  EXPECT_EQ(format.between, "<e>[user]");
  EXPECT_EQ(conversation_format(folder.files(), "", true).before, "<b>[user]");
  const ChatFormat plain = conversation_format(folder.files(), "Be kind.", false);
  EXPECT_EQ(plain.before, "<b>Be kind.\n\n");
  folder.file("chat_template.jinja", "{{ messages[-1].content }}");
  EXPECT_THAT(error_of([&] { conversation_format(folder.files(), "Be kind.", true); }),
              HasSubstr("no place for a system message"));
  folder.file("chat_template.jinja",
              "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
              "{{ messages[-1].content }}");
  EXPECT_THAT(error_of([&] { conversation_format(folder.files(), "Be kind.", true); }),
              HasSubstr("with a system message: "));
}

TEST(ChatFormat, ATemplateThatCannotBeUsedIsExplained) {
  const auto told = [](const std::string& chat) { return error_of([&] { format_of(chat); }); };
  EXPECT_THAT(told("{{ raise_exception('System first') }}"),
              HasSubstr("chat_template.jinja:1: System first; choose a format"));
  EXPECT_THAT(told("no text"), HasSubstr("does not write the user's text as it is"));
  EXPECT_THAT(told("{{ messages[0].content * 2 }}"), HasSubstr("more than once"));
  EXPECT_THAT(told("{% if %}"), HasSubstr("choose a format with chat_format: plain, chatml, llama3"));
  EXPECT_THROW(format_of(kTemplate, "alpaca"), UsageError);
  EXPECT_THROW(format_of("{{"), UsageError);
}

}  // namespace
}  // namespace kvpress
