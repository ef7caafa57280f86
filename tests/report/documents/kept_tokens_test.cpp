// kept_tokens.json and what is drawn of it: tokens that are parts of characters, files that are none, bins, the page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "kept_tokens_example.h"
#include "kvpress/base/error.h"
#include "report/documents/kept_tokens_document.h"
#include "report/page/kept_tokens_page.h"
#include "report/pictures/kept_tokens_picture.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

using test::example_run;
using test::TemporaryFolder;
using testing::HasSubstr;
namespace fs = std::filesystem;

TEST(TokenText, WritesOutWhatIsNoCharacter) {
  EXPECT_EQ(token_text(" the"), " the");
  EXPECT_EQ(token_text("caf\xc3\xa9"), "caf\xc3\xa9");
  EXPECT_EQ(token_text("\xe2\x82"), "<0xE2><0x82>");      // the first two bytes of the euro sign ...
  EXPECT_EQ(token_text("\xac"), "<0xAC>");                // ... and its last
  EXPECT_EQ(token_text("\xe2\x82\xac"), "\xe2\x82\xac");  // whole
  EXPECT_EQ(token_text("a\xf0\x9f\x98"), "a<0xF0><0x9F><0x98>");
  EXPECT_EQ(token_text("\xf0\x9f\x98\x80!"), "\xf0\x9f\x98\x80!");
  EXPECT_EQ(token_text("\xed\xa0\x80"), "<0xED><0xA0><0x80>");  // half of a surrogate pair is no UTF-8
  EXPECT_EQ(token_text("\xc0\xaf"), "<0xC0><0xAF>");            // nor is an overlong form
  EXPECT_EQ(token_text(""), "");
  EXPECT_EQ(token_text(std::string_view("\0x", 2)), std::string("\0x", 2));
}

TEST(KeptTokensFile, ComesBackAsItWas) {
  const KeptTokensRun run = example_run();
  const std::string text = kept_tokens_text(kept_tokens_document(run));
  const KeptTokensRun back = kept_tokens_run(Json::parse(text));
  EXPECT_EQ(back.press, run.press);
  EXPECT_EQ(back.compression_ratio, run.compression_ratio);
  EXPECT_EQ(back.chunk_size, run.chunk_size);
  EXPECT_EQ(back.tokens, run.tokens);
  EXPECT_EQ(back.kept.heads, run.kept.heads);
  EXPECT_EQ(back.kept.n_layers, 2);
  EXPECT_EQ(back.kept.n_kv_heads, 2);
  EXPECT_EQ(back.name(), "snapkv at 0.50, wikitext, demo, chunks of 4");
  const Json summary = Json::parse(text)["summary"];
  EXPECT_EQ(summary["by_all"], 1);  // the first token
  EXPECT_EQ(summary["largest"], 6);
}

TEST(KeptTokensFile, TellsOfWindows) {
  KeptTokensRun run = example_run();
  EXPECT_FALSE(kept_tokens_document(run).contains("windows"));
  run.kept.windows = {0, 3};
  const Json document = kept_tokens_document(run);
  EXPECT_EQ(kept_tokens_run(document).kept.windows, run.kept.windows);
  Json wrong = document;
  wrong["windows"] = {0, -3};
  EXPECT_THROW(kept_tokens_run(wrong), Error);
  const std::string script = kept_tokens_drawing(run, false).script;
  EXPECT_THAT(script, HasSubstr("'0' 0.5, '1 w' 2.5"));
  EXPECT_THAT(script, HasSubstr("not counted: layers with windows of 3 tokens"));
  const Json page = Json::parse(kept_tokens_json({run}));
  EXPECT_EQ(page["runs"][0]["layers"], (std::vector<std::string>{"0", "1 w"}));
  EXPECT_EQ(page["runs"][0]["counted"], (std::vector<std::int64_t>{0}));
  const KeptBins bins = binned(run.kept, 1000);
  EXPECT_EQ(bins.mean[1], (bins.heads[0][1] + bins.heads[1][1]) / 2);
  EXPECT_EQ(page["runs"][0]["layer_axis"], "layer, 2 heads each, w: window");
}

TEST(KeptTokensFile, OneThatIsNoneIsLeftOutWithALine) {
  const Json good = kept_tokens_document(example_run());
  const auto with = [&](const char* pointer, const Json& value) {
    Json document = good;
    document[Json::json_pointer(pointer)] = value;
    return document.dump();
  };
  Json no_press = good;
  no_press.erase("press");
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "not valid JSON"},
      {"{\"press\": \"kno", "not valid JSON"},
      {"[1]", "JSON object"},
      {std::string(100'000, '['), "not valid JSON"},
      {no_press.dump(), "'press'"},
      {with("/n_tokens", 11), "'tokens'"},
      {with("/n_tokens", -1), "'n_tokens'"},
      {with("/n_tokens", 1e300), "'n_tokens'"},
      {with("/n_layers", 3), "'kept'"},
      {with("/n_kv_heads", 1), "1 heads"},
      {with("/compression_ratio", "half"), "'compression_ratio'"},
      {with("/tokens/3", 5), "'tokens'"},
      {with("/kept/0/0", 5), "must be a list"},
      {with("/kept/0/0/1", 0), "ascending positions below 10"},
      {with("/kept/1/1/0", 10), "ascending positions below 10"},
      {with("/kept/1/1/0", 0.5), "ascending positions below 10"},
  };
  for (const auto& [text, why] : bad) {
    const TemporaryFolder folder;
    write_file(folder.path() / "kept_tokens.json", text);
    testing::internal::CaptureStderr();
    EXPECT_TRUE(read_kept_tokens({folder.path()}).empty());
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_THAT(said, HasSubstr("kept_tokens.json: skipped"));
    EXPECT_THAT(said, HasSubstr(why));
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  }
  EXPECT_THROW(read_kept_tokens({"/nowhere"}), Error);
}

TEST(KeptTokensFile, IsFoundAtAnyDepthUnlessHidden) {
  const TemporaryFolder folder;
  const std::string text = kept_tokens_text(kept_tokens_document(example_run()));
  for (const char* it : {"b/1", "a", ".c.tmp7"}) {
    fs::create_directories(folder.path() / it);
    write_file(folder.path() / it / "kept_tokens.json", text);
  }
  EXPECT_EQ(read_kept_tokens({folder.path()}).size(), 2u);
}

TEST(KeptBins, AreSharesOfTheirTokens) {
  const KeptTokensRun run = example_run();
  const KeptBins bins = binned(run.kept, 4);
  EXPECT_EQ(bins.bin, 3);
  ASSERT_EQ(bins.mean.size(), 4u);
  for (std::size_t b = 0; b < 4; ++b) {
    double mean = 0;
    for (std::size_t row = 0; row < run.kept.heads.size(); ++row) {
      double n = 0;
      double kept = 0;
      for (std::int32_t t = static_cast<std::int32_t>(3 * b);
           t < std::min<std::int32_t>(10, static_cast<std::int32_t>(3 * b + 3)); ++t) {
        const auto& it = run.kept.heads[row];
        ++n;
        kept += std::count(it.begin(), it.end(), t) > 0 ? 1 : 0;
      }
      EXPECT_NEAR(bins.heads[row][b], kept / n, 1e-12);
      mean += kept / n / 4;
    }
    EXPECT_NEAR(bins.mean[b], mean, 1e-12);
  }
  EXPECT_EQ(binned(run.kept, 1000).bin, 1);
  EXPECT_EQ(binned(run.kept, 1000).mean.size(), 10u);
}

TEST(KeptTokensPicture, IsDrawn) {
  const TemporaryFolder folder;
  try {
    write_kept_tokens_picture(example_run(), folder.path() / "k.svg");
  } catch (const Error& error) {
    if (std::string(error.what()).find("gnuplot: not found") != std::string::npos) GTEST_SKIP() << error.what();
    throw;
  }
  const std::string svg = read_file(folder.path() / "k.svg");
  EXPECT_THAT(svg, testing::Not(HasSubstr("href=\"/"))) << "nothing outside of the file";
  EXPECT_THAT(svg, testing::Not(HasSubstr(".png")));
  for (const char* it : {"snapkv at 0.50", "layer, 2 heads each", "% of heads", "1 in all of 4 heads"}) {
    EXPECT_THAT(svg, HasSubstr(it));
  }
}

TEST(KeptTokensTable, HasALineARun) {
  const std::string table = kept_tokens_table({example_run(), example_run()});
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 3);
  EXPECT_THAT(table, HasSubstr("2-6"));
}

}  // namespace
}  // namespace kvpress
