// What the files beside the weights change in what commands do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>

#include "cli/program.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::content_of;
using test::Ended;
using test::run_program;
using test::TemporaryFolder;
using testing::HasSubstr;

/// The included model, with a tokenizer that puts <|endoftext|> before each text.
void write_model(const TemporaryFolder& folder) {
  const fs::path demo = fs::path(test::kProjectDir) / "models" / "kvpress-demo";
  for (const char* file : {"config.json", "model.safetensors"}) {
    fs::create_symlink(demo / file, folder.path() / file);
  }
  json tokenizer = json::parse(content_of(demo / "tokenizer.json"));
  const json bos = {{"SpecialToken", {{"id", "<|endoftext|>"}, {"type_id", 0}}}};
  const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  tokenizer["post_processor"] = {
      {"type", "TemplateProcessing"}, {"single", {bos, text}}, {"special_tokens", {{"<|endoftext|>", {{"ids", {0}}}}}}};
  folder.file("tokenizer.json", tokenizer.dump());
}

TEST(ModelFilesOfCommands, TextsBeginAsTheTokenizerSays) {
  const TemporaryFolder folder;
  write_model(folder);
  const std::string text = folder.file("t.txt", "The history of the town of the king is long.").string();
  const auto ppl = [&](const std::string& options) {
    const Ended ended = run_program("ppl --quiet --press no_press --text " + text + " -m " + options);
    EXPECT_EQ(ended.code, 0) << ended.err;
    return json::parse(ended.out);
  };
  const json added = ppl(folder.path().string());
  const json without = ppl(folder.path().string() + " --bos no");
  const json demo = ppl("demo");
  EXPECT_EQ(added["added_tokens"], (json{{"before", {"<|endoftext|>"}}, {"after", json::array()}}));
  EXPECT_EQ(without["added_tokens"], (json{{"before", json::array()}, {"after", json::array()}}));
  EXPECT_EQ(added["n_tokens"], demo["n_tokens"].get<int>() + 1);
  EXPECT_EQ(without["baseline"]["mean_nll"], demo["baseline"]["mean_nll"]);
  EXPECT_NE(added["baseline"]["mean_nll"], demo["baseline"]["mean_nll"]);
  const Ended bad = run_program("ppl -m demo --bos maybe --text " + text);
  EXPECT_EQ(bad.code, 2);
  EXPECT_THAT(bad.err, HasSubstr("--bos: 'maybe' is not known; known: auto, yes, no"));
}

TEST(ModelFilesOfCommands, GenerationEndsWhereItsConfigurationSays) {
  const TemporaryFolder folder;
  write_model(folder);
  const std::string command = "generate --quiet -p 'The history of' -n 4 -m " + folder.path().string();
  EXPECT_GT(run_program(command).out.size(), 1u);
  json ends = json::array();
  for (int id = 0; id < 8192; ++id) ends.push_back(id);
  folder.file("generation_config.json", json{{"eos_token_id", ends}}.dump());
  EXPECT_EQ(run_program(command).out, "\n");
  EXPECT_EQ(run_program(command + " --echo").out, "The history of\n");
}

TEST(ModelFilesOfCommands, GenerateAnswersInTheChatTemplate) {
  const TemporaryFolder folder;
  write_model(folder);
  const std::string command = "generate -n 2 -p 'The king' --ignore-eos -m " + folder.path().string();
  const Ended without = run_program(command);
  EXPECT_EQ(run_program(command + " --chat no").out, without.out);
  EXPECT_THAT(run_program(command + " --chat yes").err, HasSubstr("has no chat template"));
  // With a template, the prompt that is read is what it writes.
  folder.file("chat_template.jinja",
              "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %} [answer]");
  const Ended with = run_program(command);
  ASSERT_EQ(with.code, 0) << with.err;
  EXPECT_THAT(with.err, HasSubstr("--chat no"));
  EXPECT_EQ(run_program(command + " --chat no").out, without.out);
  EXPECT_EQ(run_program("generate -n 2 --ignore-eos --chat no --bos no -p '[user] The king [answer]' -m " +
                        folder.path().string())
                .out,
            with.out);
  const std::string prompt = folder.file("prompt.txt", "The king").string();
  EXPECT_EQ(run_program("generate -n 2 --ignore-eos --prompt-file - -m " + folder.path().string() + " <" + prompt).out,
            with.out);
  folder.file("chat_template.jinja", "{{ raise_exception('no thanks') }}");
  const Ended refused = run_program(command);
  EXPECT_NE(refused.code, 0);
  EXPECT_THAT(refused.err, testing::AllOf(HasSubstr("chat_template.jinja"), HasSubstr("no thanks")));
  EXPECT_EQ(run_program(command + " --chat maybe").code, 2);
}

TEST(ModelFilesOfCommands, TextsThatAreTooShortAreLeftOut) {
  const TemporaryFolder folder;
  const std::string rows =
      folder
          .file("t.jsonl",
                "{\"text\":\"The history of the town.\"}\n{\"text\":\"a\"}\n{\"text\":\"The king is long.\"}\n")
          .string();
  const Ended ended = run_program("ppl -m demo --rows apart --press no_press --text " + rows);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("1 of 3 texts have fewer than 2 tokens and are left out; the first is row 1"));
  EXPECT_EQ(json::parse(ended.out)["baseline"]["per_text"].size(), 2u);
}

}  // namespace
}  // namespace kvpress
