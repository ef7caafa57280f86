// Against a rows service of its own.
#include "hub/rows_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_rows.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using test::FakeRows;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr RetrySettings kQuick{3, 0.001, 2};

class RowsTest : public ::testing::Test {
 protected:
  void SetUp() override { set_quiet(true); }
  void TearDown() override { set_quiet(false); }

  static std::vector<std::string> read(const RowsRequest& request, std::size_t at_most = 1000) {
    RowsReader reader(hub_settings(), request, kQuick);
    std::vector<std::string> texts;
    while (texts.size() < at_most) {
      std::optional<std::string> text = reader.next();
      if (!text) break;
      texts.push_back(std::move(*text));
    }
    return texts;
  }
  static std::string error(const RowsRequest& request) {
    try {
      read(request);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
      return error.what();
    }
    return "no error";
  }
  std::vector<std::string> pages() const {
    std::vector<std::string> asked;
    for (const auto& it : service_.server().requests()) {
      if (it.path == "/rows") asked.push_back(it.query.substr(it.query.find("offset=")));
    }
    return asked;
  }

  FakeRows service_;
};

TEST_F(RowsTest, AWholeSplitPageByPage) {
  const std::vector<std::string> texts = read({.dataset = "Some/texts"});
  ASSERT_EQ(texts.size(), 250u);
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(texts[i], FakeRows::text(i));
  EXPECT_THAT(pages(), ElementsAre("offset=0&length=100", "offset=100&length=100", "offset=200&length=100"));
}

TEST_F(RowsTest, WholeRowsWithoutAColumn) {
  EXPECT_THAT(read({.dataset = "Some/texts", .column = "", .max_rows = 2}),
              ElementsAre(R"({"text":" text of row 0 \n","title":"title 0","year":1900})",
                          R"({"text":" text of row 1 \n","title":"title 1","year":1901})"));
  // What is on disk serves texts as well.
  service_.server().forget_requests();
  EXPECT_THAT(read({.dataset = "Some/texts", .max_rows = 2}), ElementsAre(FakeRows::text(0), FakeRows::text(1)));
  EXPECT_THAT(pages(), ElementsAre());
  // A row of which any cell is cut off is none.
  service_.truncate_row = 2;
  EXPECT_THAT(error({.dataset = "Some/texts", .column = "", .max_rows = 3}), HasSubstr("returns row 2 truncated"));
}

TEST_F(RowsTest, NoMoreIsFetchedThanIsAskedFor) {
  EXPECT_EQ(read({.dataset = "Some/texts"}, 0).size(), 0u);
  EXPECT_THAT(pages(), ElementsAre());
  EXPECT_EQ(read({.dataset = "Some/texts"}, 101).size(), 101u);
  EXPECT_EQ(pages().size(), 2u);
  EXPECT_EQ(read({.dataset = "Some/texts", .max_rows = 230}).size(), 230u);
  EXPECT_EQ(pages().back(), "offset=200&length=30");
  EXPECT_EQ(read({.dataset = "Some/texts", .max_rows = 7}).size(), 7u);
  EXPECT_EQ(pages().size(), 3u);
}

TEST_F(RowsTest, WhatIsOnDiskIsNotFetchedAgain) {
  EXPECT_EQ(read({.dataset = "Some/texts", .max_rows = 3}).size(), 3u);
  service_.server().forget_requests();
  EXPECT_EQ(read({.dataset = "Some/texts", .max_rows = 150}).size(), 150u);
  EXPECT_THAT(pages(), ElementsAre("offset=3&length=100", "offset=103&length=47"));
  service_.server().forget_requests();
  const test::ScopedVariable offline("HF_HUB_OFFLINE", "1");
  EXPECT_EQ(read({.dataset = "Some/texts", .max_rows = 150})[149], FakeRows::text(149));
  EXPECT_TRUE(service_.server().requests().empty());
  EXPECT_THAT(error({.dataset = "Some/texts"}), HasSubstr("HF_HUB_OFFLINE is set"));
  EXPECT_THAT(error({.dataset = "Other/texts"}), HasSubstr("hf:Other/texts: needs rows that are not in the cache"));
}

TEST_F(RowsTest, ItIsTakenUpWhereItBrokeOff) {
  service_.fail_at_offset = 100;
  EXPECT_THAT(error({.dataset = "Some/texts"}), HasSubstr("returned: HTTP status 500"));
  service_.fail_at_offset = -1;
  service_.server().forget_requests();
  EXPECT_EQ(read({.dataset = "Some/texts"}).size(), 250u);
  EXPECT_THAT(pages(), ElementsAre("offset=100&length=100", "offset=200&length=100"));
}

TEST_F(RowsTest, TriesAgainWhenItIsTold) {
  service_.next.push_back({429, {{"Retry-After", "1"}}, "", {}, {}});
  service_.next.push_back({500, {}, "", {}, {}});
  EXPECT_EQ(read({.dataset = "Some/texts", .max_rows = 2}).size(), 2u);
}

TEST_F(RowsTest, ConfigurationsAndSplits) {
  EXPECT_EQ(read({.dataset = "Some/many", .config = "b", .split = "train", .max_rows = 1})[0], FakeRows::text(0));
  EXPECT_THAT(service_.server().requests().back().query, HasSubstr("config=b&split=train"));
  EXPECT_THAT(error({.dataset = "Some/many"}), HasSubstr("has several configurations; choose one with config: a, b"));
  EXPECT_THAT(error({.dataset = "Some/many", .config = "c"}),
              HasSubstr("has no configuration 'c'; choose one with config: a, b"));
  EXPECT_THAT(error({.dataset = "Some/many", .config = "b"}),
              HasSubstr("has several splits; choose one with split: train, validation"));
  EXPECT_THAT(error({.dataset = "Some/many", .config = "b", .split = "dev"}),
              HasSubstr("has no split 'dev'; choose one with split: train, validation"));
  EXPECT_THROW(RowsReader(hub_settings(), {.dataset = "Some/many", .config = "c"}, kQuick), UsageError);
  // Of several splits test is meant, of several configurations default.
  const RowsReader reader(hub_settings(), {.dataset = "Some/texts"}, kQuick);
  EXPECT_EQ(reader.config(), "default");
  EXPECT_EQ(reader.split(), "test");
}

TEST_F(RowsTest, Columns) {
  EXPECT_EQ(read({.dataset = "Some/texts", .column = "title", .max_rows = 2})[1], "title 1");
  EXPECT_THAT(error({.dataset = "Some/texts", .column = "body"}),
              HasSubstr("has no column 'body'; choose one with text_column: text, title, year"));
  EXPECT_THAT(error({.dataset = "Some/texts", .column = "year"}), HasSubstr("column 'year' contains no texts"));
}

TEST_F(RowsTest, PagesThatAreTooBigAreHalved) {
  service_.most_rows = 30;
  EXPECT_EQ(read({.dataset = "Some/texts", .max_rows = 60}).size(), 60u);
  EXPECT_THAT(pages(), ElementsAre("offset=0&length=60", "offset=0&length=30", "offset=30&length=30"));
}

TEST_F(RowsTest, RowsThatAreCutOffAreRefused) {
  service_.truncate_row = 5;
  EXPECT_THAT(error({.dataset = "Some/texts"}), HasSubstr("returns row 5 truncated"));
  EXPECT_EQ(read({.dataset = "Some/texts", .column = "title", .max_rows = 9}).size(), 9u);
}

TEST_F(RowsTest, ADataSetThatChangesIsRefused) {
  read({.dataset = "Some/texts", .max_rows = 100});
  service_.revision = "another";
  EXPECT_THAT(error({.dataset = "Some/texts"}), HasSubstr("has changed since its first rows were downloaded; delete "));
}

TEST_F(RowsTest, ErrorsSayWhatWouldBeRight) {
  EXPECT_THAT(error({.dataset = "No/such"}), HasSubstr("returned: The dataset does not exist"));
  EXPECT_THAT(error({.dataset = "No/such"}), HasSubstr("set HF_TOKEN if the data set is private or gated"));
  EXPECT_THAT(error({.dataset = "../etc"}), HasSubstr("is not a data set id; give hf:ORG/NAME"));
  EXPECT_THAT(error({.dataset = "a/b/c"}), HasSubstr("is not a data set id"));
  EXPECT_THAT(error({.dataset = ""}), HasSubstr("is not a data set id"));
  EXPECT_THAT(error({.dataset = "Some/texts", .max_rows = 251}), HasSubstr("has only 250 rows, not 251"));
  service_.next.push_back({200, {}, "<html>", {}, {}});
  EXPECT_THAT(error({.dataset = "Some/other"}), HasSubstr("check HF_DATASETS_SERVER"));
  const test::ScopedVariable nobody("HF_DATASETS_SERVER", "http://127.0.0.1:9");
  EXPECT_THAT(error({.dataset = "Some/texts"}), HasSubstr("http://127.0.0.1:9: cannot be reached"));
}

TEST_F(RowsTest, TheTokenIsSent) {
  const test::ScopedVariable token("HF_TOKEN", "hf_secret");
  read({.dataset = "Some/texts", .max_rows = 1});
  for (const auto& it : service_.server().requests()) EXPECT_EQ(it.header("authorization"), "Bearer hf_secret");
}

}  // namespace
}  // namespace kvpress
