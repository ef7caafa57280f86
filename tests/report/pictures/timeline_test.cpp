// timeline.json in result folders: written, read back, drawn; and files that are none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "kvpress/base/error.h"
#include "report/page/html_report.h"
#include "report/pictures/timeline_picture.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

using test::TemporaryFolder;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

/// Two chunks that rise and fall, then the loss.
RunResult recorded() {
  RunResult run;
  Timeline& it = run.timeline;
  it.append(Phase::prefill, 0, 0, 0, 60 << 20);
  it.append(Phase::prefill, 0.25, 128, 6 << 20, 66 << 20);
  it.append(Phase::compress, 0.375, 128, 3 << 20, 63 << 20);
  it.append(Phase::prefill, 0.75, 256, 9 << 20, 69 << 20);
  it.append(Phase::compress, 0.875, 256, 6 << 20, 66 << 20);
  it.append(Phase::score, 1.5, 256, 6 << 20, 67 << 20);
  return run;
}

fs::path write_run(const TemporaryFolder& folder, const std::string& press, double ratio, const MoreFiles& more) {
  const Json metrics = {{"press", press}, {"compression_ratio", ratio}, {"perplexity", 42.5}, {"kl_full", 0.04}};
  const Json config = {{"model", "demo"}, {"dataset", "pg19_ppl"}, {"protocol", "chunked"}};
  return write_result_folder(folder.path(), result_folder_name("pg19_ppl", "demo", press, ratio), "text\n0\n", metrics,
                             config, more);
}

TEST(TimelineFile, HoldsThePoints) {
  const MoreFiles files = timeline_file(recorded());
  ASSERT_EQ(files.count("timeline.json"), 1u);
  const Json it = Json::parse(files.at("timeline.json"));
  EXPECT_EQ(read_timeline(it), memory_points(recorded().timeline));
  EXPECT_EQ(it["phase"], Json({"prefill", "prefill", "compress", "prefill", "compress", "score"}));
  EXPECT_EQ(it["seconds"], Json({0.0, 0.25, 0.375, 0.75, 0.875, 1.5}));
  EXPECT_EQ(it["tokens"], Json({0, 128, 128, 256, 256, 256}));
  EXPECT_EQ(it["cache"][3], 9 << 20);
  EXPECT_EQ(it["resident"][5], 67 << 20);
  EXPECT_EQ(it["phase_seconds"], (Json{{"prefill", 0.625}, {"compress", 0.25}, {"score", 0.625}, {"decode", 0.0}}));
  EXPECT_TRUE(timeline_file(RunResult()).empty()) << "a run without a timeline has no such file";
}

TEST(TimelineFile, GoesWithItsFolderAndComesBackWithIt) {
  const TemporaryFolder folder;
  const fs::path with = write_run(folder, "knorm", 0.5, timeline_file(recorded()));
  const fs::path without = write_run(folder, "snapkv", 0.5, {});
  EXPECT_TRUE(fs::exists(with / "timeline.json"));
  EXPECT_FALSE(fs::exists(without / "timeline.json"));
  const auto rows = read_result_folders({folder.path()});
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].timeline, memory_points(recorded().timeline));
  EXPECT_THAT(rows[1].timeline, IsEmpty());
  // What cannot be written in the end leaves no folder.
  EXPECT_THROW(write_run(folder, "tova", 0.5, {{"no/such/folder.json", "{}"}}), Error);
  for (const auto& it : fs::directory_iterator(folder.path())) {
    EXPECT_THAT(it.path().filename().string(), testing::Not(HasSubstr("tova")));
  }
}

TEST(TimelineFile, OneThatIsNoneIsLeftOutWithALine) {
  const std::string good = timeline_file(recorded()).at("timeline.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "not valid JSON"},
      {good.substr(0, good.size() / 2), "not valid JSON"},
      {"[1, 2]", "'phase' must be a list"},
      {"{\"phase\": []}", "at least one point"},
      {with("\"seconds\"", "\"second\""), "'seconds' must be a list"},
      {with("[0.0,0.25,", "[0.0,"), "has 5 values"},
      {with("0.375", "0.125"), "must not decrease"},
      {with("0.375", "\"0.375\""), "numbers of at least 0"},
      {with("0.375", "NaN"), "numbers of at least 0, not null"},
      {with("\"score\"", "7"), "must contain names of phases, not 7"},
      {with("\"score\"", "\"scored\""), "must contain names of phases, not \"scored\""},
      {with("128,", "1e300,"), "'tokens' must contain numbers of at least 0"},
      {with("128,", "-128,"), "'tokens' must contain numbers of at least 0"},
  };
  for (const auto& [text, why] : bad) {
    const TemporaryFolder folder;
    write_run(folder, "knorm", 0.5, {{"timeline.json", text}});
    testing::internal::CaptureStderr();
    const auto rows = read_result_folders({folder.path()});
    const std::string said = testing::internal::GetCapturedStderr();
    ASSERT_EQ(rows.size(), 1u) << "the run's numbers are shown without it";
    EXPECT_THAT(rows[0].timeline, IsEmpty());
    EXPECT_THAT(said, HasSubstr("timeline skipped"));
    EXPECT_THAT(said, HasSubstr(why));
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  }
}

TEST(TimelinePicture, ShowsOneRunAPressNearestToAHalf) {
  const auto timeline = memory_points(recorded().timeline);
  std::vector<RunRow> rows;
  const auto add = [&](const std::string& press, double ratio, const std::string& dataset, bool has = true) {
    RunRow row;
    row.press = press;
    row.model = "demo";
    row.dataset = dataset;
    row.protocol = "chunked";
    row.compression_ratio = ratio;
    if (has) row.timeline = timeline;
    rows.push_back(row);
  };
  add("tova", 0.5, "a", false);
  for (const double ratio : {0.1, 0.4, 0.9}) add("snapkv", ratio, "a");
  add("knorm", 0.8, "a");
  add("no_press", 0, "a");
  add("knorm", 0.5, "b");
  const auto shown = timelines_of(rows);
  ASSERT_EQ(shown.size(), 3u);
  EXPECT_EQ(shown[0].name, "no_press at 0.00, a, chunked");
  EXPECT_EQ(shown[1].name, "knorm at 0.80, a, chunked");
  EXPECT_EQ(shown[2].name, "snapkv at 0.40, a, chunked");
  for (int i = 0; i < 20; ++i) add("random(seed=" + std::to_string(i) + ")", 0.5, "a");
  EXPECT_EQ(timelines_of(rows).size(), 8u);
  EXPECT_TRUE(timelines_of({}).empty());
}

TEST(TimelinePicture, IsDrawn) {
  const TemporaryFolder folder;
  try {
    write_timeline_picture({{"it's 'snapkv' at 0.50", memory_points(recorded().timeline)}}, folder.path() / "t.svg");
  } catch (const Error& error) {
    if (std::string(error.what()).find("gnuplot: not found") != std::string::npos) GTEST_SKIP() << error.what();
    throw;
  }
  const std::string svg = read_file(folder.path() / "t.svg");
  for (const char* it : {"snapkv", "KV cache (MiB)", "seconds", "prefill", "compress", "score"}) {
    EXPECT_THAT(svg, HasSubstr(it));
  }
  EXPECT_THAT(svg, testing::Not(HasSubstr("decode"))) << "only phases that there are";
}

}  // namespace
}  // namespace kvpress
