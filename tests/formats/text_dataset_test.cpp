#include "kvpress/formats/text_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include "formats/mutations.h"
#include "kvpress/base/error.h"
#include "test_data.h"

namespace kvpress {
namespace {

using test::error_of;
using test::TemporaryFolder;
using ::testing::HasSubstr;

std::filesystem::path gz_file(const TemporaryFolder& folder, const std::string& name, const std::string& text) {
  const auto path = folder.path() / name;
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  return path;
}

class ShippedTexts : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv("KVPRESS_DATA_DIR", test::project_dir().c_str(), 1); }
  void TearDown() override { ::unsetenv("KVPRESS_DATA_DIR"); }
};

TEST_F(ShippedTexts, WikiText) {
  const TextDataset all = load_texts({"wikitext", "", "", 0});
  EXPECT_EQ(all.name, "wikitext/wikitext-103-v1/test");
  EXPECT_EQ(all.separator, "\n\n");
  ASSERT_EQ(all.texts.size(), 64u);
  EXPECT_EQ(all.texts[0], "");
  EXPECT_EQ(all.texts[1], " = Robert Boulter = \n");
  const TextDataset some = load_texts({"wikitext", "wikitext-103-v1", "test", 10});
  EXPECT_EQ(some.texts, std::vector<std::string>(all.texts.begin(), all.texts.begin() + 10));
}

TEST_F(ShippedTexts, Pg19) {
  const TextDataset books = load_texts({"pg19", "", "test", 1});
  EXPECT_EQ(books.name, "pg19/test");
  EXPECT_EQ(books.separator, "");
  ASSERT_EQ(books.texts.size(), 1u);
  EXPECT_GT(books.texts[0].size(), 50000u);
}

TEST_F(ShippedTexts, SayWhatDoesNotShip) {
  EXPECT_THROW(load_texts({"wikitext", "", "", 65}), UsageError);
  EXPECT_THAT(
      error_of([] {
        load_texts({"wikitext", "", "", 65});
      }),
      HasSubstr("wikitext-103-v1/test.jsonl has only 64 rows, not 65; use the whole data set, hf:Salesforce/wikitext"));
  EXPECT_THAT(error_of([] { load_texts({"pg19", "", "", 2}); }), HasSubstr("test.jsonl has only 1 row, not 2"));
  EXPECT_THROW(load_texts({"wikitext", "", "validation", 0}), UsageError);
  EXPECT_THAT(error_of([] {
                load_texts({"wikitext", "", "validation", 0});
              }),
              HasSubstr("split 'validation' is not included, only "));
  EXPECT_THAT(error_of([] {
                load_texts({"wikitext", "wikitext-2-v1", "", 0});
              }),
              HasSubstr("configuration 'wikitext-2-v1'"));
  EXPECT_THROW(load_texts({"nothing", "", "", 0}), UsageError);
  EXPECT_THAT(error_of([] { load_texts({"nothing", "", "", 0}); }), HasSubstr("known: wikitext, pg19, hf:ORG/NAME"));
  EXPECT_THROW(load_texts({"wikitext", "", "", -1}), UsageError);
}

TEST(TextFiles, JsonlRowsJoin) {
  const TemporaryFolder folder;
  const auto path =
      folder.file("t.jsonl", "{\"text\":\"one\"}\n\n {\"id\":3,\"text\":\"\"} \r\n{\"text\":\"d\\u00e9\\n\"}");
  const TextDataset texts = load_texts({path.string(), "", "", 0});
  EXPECT_EQ(texts.name, path.string());
  EXPECT_EQ(texts.separator, "\n\n");
  EXPECT_EQ(texts.texts, (std::vector<std::string>{"one", "", "dé\n"}));
  EXPECT_EQ(load_texts({path.string(), "", "", 2}).texts.size(), 2u);
  EXPECT_THAT(error_of([&] { load_texts({path.string(), "", "", 4}); }), HasSubstr("has only 3 texts, not 4"));
}

TEST(TextFiles, TxtIsOneText) {
  const TemporaryFolder folder;
  const auto path = folder.file("t.txt", "a\n\nb\xff");
  const TextDataset texts = load_texts({path.string(), "", "", 1});
  EXPECT_EQ(texts.texts, (std::vector<std::string>{"a\n\nb\xff"}));
  EXPECT_EQ(texts.separator, "");
  EXPECT_EQ(load_texts({gz_file(folder, "u.txt.gz", "zipped").string(), "", "", 0}).texts[0], "zipped");
}

TEST(TextFiles, CompressedRowsAreReadOnlyAsFarAsWanted) {
  const TemporaryFolder folder;
  std::string rows = "{\"text\":\"first\"}\n";
  while (rows.size() < 1'000'000) rows += "{\"text\":\"" + std::string(100, 'x') + "\"}\n";
  const auto path = gz_file(folder, "t.jsonl.gz", rows + "not JSON\n");
  EXPECT_EQ(load_texts({path.string(), "", "", 8000}).texts.size(), 8000u);
  EXPECT_THAT(error_of([&] { load_texts({path.string(), "", "", 0}); }), HasSubstr("is not valid JSON"));
}

TEST(TextFiles, OfATextNoMoreIsReadThanIsWanted) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "caf\xc3\xa9 ";
  for (const auto& path : {gz_file(folder, "a.txt.gz", text), folder.file("a.txt", text)}) {
    for (const std::int64_t n : {1, 4, 5, 6, 1000}) {
      const std::string beginning = read_text_file(path, n);
      // Whole characters: after four bytes the first of two is left out.
      const std::size_t whole = n % 6 == 4 ? static_cast<std::size_t>(n) - 1 : static_cast<std::size_t>(n);
      EXPECT_EQ(beginning, text.substr(0, whole)) << path << " " << n;
    }
    EXPECT_EQ(read_text_file(path), text);
    EXPECT_EQ(read_text_file(path, 10'000'000), text);
  }
  std::string rows;
  for (int i = 0; i < 1000; ++i) rows += "{\"text\": \"0123456789\"}\n";
  const auto path = gz_file(folder, "a.jsonl.gz", rows);
  EXPECT_EQ(load_texts({.name = path.string(), .max_bytes = 95}).texts.size(), 10u);
  EXPECT_EQ(load_texts({.name = path.string(), .rows = RowsAs::apart, .max_bytes = 95}).texts.size(), 1000u);
  EXPECT_EQ(load_texts({.name = path.string(), .max_samples = 20, .max_bytes = 95}).texts.size(), 20u);
}

TEST_F(ShippedTexts, HaveTheNamesOfKvpressToo) {
  EXPECT_EQ(load_texts({.name = "wikitext_ppl"}).texts, load_texts({.name = "wikitext"}).texts);
  EXPECT_EQ(load_texts({.name = "pg19_ppl"}).name, load_texts({.name = "pg19"}).name);
  EXPECT_THAT(error_of([] { load_texts({.name = "wikitxt"}); }), HasSubstr("(did you mean 'wikitext'?)"));
}

TEST(TextFiles, RowsAreReadAsPythonReadsThem) {
  const TemporaryFolder folder;
  const auto texts = [&](const std::string& content) {
    return load_texts({folder.file("t.jsonl", content).string(), "", "", 0}).texts;
  };
  EXPECT_EQ(texts("{\"text\":\"a\", \"score\": NaN}\n{\"score\": [-Infinity, Infinity], \"text\":\"b\"}\n"),
            (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(texts("{\"text\":\"x\\ud800y\"}")[0], "x\xef\xbf\xbdy");
  EXPECT_EQ(texts("\xef\xbb\xbf{\"text\":\"a\"}"), std::vector<std::string>{"a"});
}

TEST(TextFiles, OtherEncodingsAreTold) {
  const TemporaryFolder folder;
  const auto text = [&](const std::string& content, const char* name = "t.txt") {
    return load_texts({folder.file(name, content).string(), "", "", 0}).texts.at(0);
  };
  EXPECT_EQ(text("\xef\xbb\xbfplain"), "plain");
  const std::string utf16("\xff\xfeT\0h\0e\0", 8);
  EXPECT_THAT(error_of([&] { text(utf16); }), HasSubstr("t.txt: is UTF-16 or UTF-32, not UTF-8"));
  EXPECT_THAT(error_of([&] { text(utf16.substr(2)); }), HasSubstr("t.txt: is UTF-16 or UTF-32"));
  EXPECT_THAT(error_of([&] { text(utf16, "t.jsonl"); }), HasSubstr("t.jsonl: is UTF-16 or UTF-32"));
  EXPECT_THAT(error_of([&] { text("\xfe\xff"); }), HasSubstr("is UTF-16"));
  EXPECT_EQ(text(std::string("a\0b zero here and there", 23)), std::string("a\0b zero here and there", 23));
  testing::internal::CaptureStderr();
  EXPECT_EQ(text("caf\xe9 au lait"), "caf\xe9 au lait");
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              HasSubstr("t.txt: byte 3 (0xe9) is not UTF-8; such bytes are read as U+FFFD"));
}

TEST(TextFiles, PipesAreRead) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "through a pipe", 14), 14);
  ::close(ends[1]);
  TextRequest request{.name = "/dev/fd/" + std::to_string(ends[0])};
  request.is_file = true;
  EXPECT_EQ(load_texts(request).texts, std::vector<std::string>{"through a pipe"});
  EXPECT_THAT(error_of([&] { load_texts(request); }), HasSubstr("is empty"));
  ::close(ends[0]);
}

TEST(TextFiles, ErrorsNameFileAndLine) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& content) {
    const auto path = folder.file("t.jsonl", content);
    return error_of([&] { load_texts({path.string(), "", "", 0}); }).substr(path.string().size());
  };
  EXPECT_EQ(message("{\"text\":\"a\"}\n{\"text\":"), ": line 2 is not valid JSON (column 9)");
  EXPECT_EQ(message("{\"text\":\"\xff\"}"), ": line 1 is not valid JSON (column 10)");
  EXPECT_EQ(message("{\"text\":7}"), ": line 1 has no field \"text\" that is a string");
  EXPECT_EQ(message("[]\n"), ": line 1 has no field \"text\" that is a string");
  EXPECT_EQ(message(std::string(300000, '[')), ": line 1 is nested deeper than 200 levels");
  EXPECT_EQ(message("{\"text\":" + std::string(100000, '[') + std::string(100000, ']') + "}"),
            ": line 1 is nested deeper than 200 levels at \"text\"");
  EXPECT_THROW(load_texts({folder.file("t.csv", "a").string(), "", "", 0}), UsageError);
  EXPECT_THAT(error_of([&] {
                load_texts({(folder.path() / "no.txt").string(), "", "", 0});
              }),
              HasSubstr("no such file"));
  EXPECT_THAT(error_of([&] { load_texts({folder.file("t.txt.xz", "a").string(), "", "", 0}); }), HasSubstr("xz data"));
}

TEST(TextFiles, SurviveDamage) {
  const std::string rows =
      "{\"text\":\"one \\\"two\\\" \\u00e9\"}\n{\"text\":\"\"}\n{\"other\":[1,{\"a\":null}],\"text\":\"x\"}\n";
  test::survives_damage(rows, "t.jsonl", 5000, [](const std::filesystem::path& path) {
    load_texts({path.string(), "", "", 0});
  });
}

}  // namespace
}  // namespace kvpress
