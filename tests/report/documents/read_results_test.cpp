// Result folders, ours and kvpress's, whole and damaged.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "kvpress/base/error.h"
#include "kvpress/base/timer.h"
#include "report/documents/csv.h"
#include "report/documents/result_folder.h"
#include "report/documents/run_rows.h"
#include "temporary_folder.h"

namespace kvpress {
namespace {

using test::TemporaryFolder;
using testing::HasSubstr;
namespace fs = std::filesystem;

Json metrics_of(const std::string& press, double ratio) {
  return {{"press", press},         {"compression_ratio", ratio},     {"perplexity", 42.5},
          {"delta_nll", 0.02},      {"delta_nll_ci95", {0.01, 0.03}}, {"kl_full", 0.04},
          {"cache_bytes", 3194880}, {"total_runtime_sec", 0.6},       {"curve", {{{"from", 0}, {"perplexity", 9}}}}};
}

Json config_of(const std::string& dataset) {
  return {{"model", "demo"}, {"dataset", dataset}, {"protocol", "chunked"}, {"chunk_size", 256}, {"version", "0.1.0"}};
}

fs::path write_ours(const TemporaryFolder& folder, const std::string& press, double ratio) {
  return write_result_folder(folder.path(), result_folder_name("pg19_ppl", "demo", press, ratio), "text\n0\n",
                             metrics_of(press, ratio), config_of("pg19_ppl"));
}

/// Files of a folder, by hand.
void write_files(const fs::path& folder, const std::map<std::string, std::string>& files) {
  fs::create_directories(folder);
  for (const auto& [name, content] : files) std::ofstream(folder / name) << content;
}

std::string message_of(const std::vector<fs::path>& paths) {
  try {
    read_result_folders(paths);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ReadResults, FindsOursAtAnyDepth) {
  const TemporaryFolder folder;
  write_ours(folder, "knorm", 0.5);
  write_ours(folder, "knorm", 0.5);  // goes into a sub-folder of the first
  write_ours(folder, "adakv(snapkv(window_size=32))", 0.25);
  const auto rows = read_result_folders({folder.path().parent_path() / folder.path().filename()});
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].press, "adakv(snapkv(window_size=32))");
  EXPECT_EQ(rows[0].compression_ratio, 0.25);
  const RunRow& knorm = rows[1];
  EXPECT_EQ(knorm.press, "knorm");
  EXPECT_EQ(knorm.dataset, "pg19_ppl");
  EXPECT_EQ(knorm.model, "demo");
  EXPECT_EQ(knorm.protocol, "chunked");
  EXPECT_EQ(knorm.number("perplexity"), 42.5);
  EXPECT_EQ(knorm.number("cache_bytes"), 3194880);
  EXPECT_EQ(knorm.interval("delta_nll")->low, 0.01);
  EXPECT_EQ(knorm.interval("delta_nll")->high, 0.03);
  EXPECT_EQ(knorm.setting("chunk_size"), "256");
  EXPECT_EQ(knorm.number("compression_ratio"), std::nullopt);
}

TEST(ReadResults, ReadsThoseOfKvpress) {
  // As evaluation/evaluate.py writes them: PyYAML's style, metrics by task.
  const TemporaryFolder folder;
  write_files(folder.path() / "ruler__4096__meta-llama--Meta-Llama-3.1-8B-Instruct__snapkv__0.50",
              {{"config.yaml",
                "dataset: ruler\ndata_dir: '4096'\nmodel: meta-llama/Meta-Llama-3.1-8B-Instruct\ndevice: null\n"
                "press_name: snapkv\ncompression_ratio: 0.5\nkey_channel_compression_ratio: null\nfraction: 1.0\n"
                "max_new_tokens: null\nquery_aware: false\noutput_dir: ./results\nmodel_kwargs:\n  "
                "attn_implementation: null\n  dtype: auto\npress_init_command: SnapKVPress(compression_ratio=0.5,\n"
                "  window_size=64, kernel_size=5)\nseed: 42\nfp8: false\n"},
               {"metrics.json",
                "{\n    \"niah_single_1\": {\n        \"string_match\": 96.0\n    },\n    \"qa_1\": {\n        "
                "\"string_match\": 64.0\n    },\n \"broken\": {\"string_match\": NaN}}\n"},
               {"predictions.csv", "answer,predicted_answer\n\"a, \"\"b\"\"\nc\",d\n"}});
  // A press that is not set by a ratio tells it in predictions.csv.
  write_files(folder.path() / "ruler__4096__m__dms_kvzap_mlp__-4.00",
              {{"config.yaml", "dataset: ruler\ndata_dir: '4096'\nmodel: m\npress_name: kvzap_mlp\nthreshold: -4.0\n"},
               {"metrics.json", "{\"average\": 0.25}"},
               {"predictions.csv", "answer,compression_ratio\n\"x\ny\",0.6\nz,0.8\n"}});
  // Without config.yaml the folder's name says the rest.
  write_files(folder.path() / "aime25__m--n__knorm__0.25" / "1", {{"metrics.json", "{\"accuracy\": 0.5}"}});
  write_files(folder.path() / "needle__m__no_press__0.00",
              {{"metrics.json", "[{\"rouge-1\": {\"f\": 0.5}}, {\"rouge-1\": {\"f\": 1.0}}]"}});
  const auto rows = read_result_folders({folder.path()});
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].press, "knorm");
  EXPECT_EQ(rows[0].model, "m--n");
  EXPECT_EQ(rows[0].compression_ratio, 0.25);
  EXPECT_EQ(rows[1].number("rouge-1.f"), 0.75);
  EXPECT_TRUE(rows[1].is_full_cache());
  EXPECT_NEAR(rows[2].compression_ratio, 0.7, 1e-12);
  const RunRow& snapkv = rows[3];
  EXPECT_EQ(snapkv.dataset, "ruler/4096");
  EXPECT_EQ(snapkv.model, "meta-llama/Meta-Llama-3.1-8B-Instruct");
  EXPECT_EQ(snapkv.press, "snapkv");
  EXPECT_EQ(snapkv.number("niah_single_1.string_match"), 96.0);
  EXPECT_EQ(snapkv.number("mean.string_match"), 80.0);
  EXPECT_EQ(snapkv.number("broken.string_match"), std::nullopt);
  EXPECT_EQ(snapkv.setting("model_kwargs.dtype"), "auto");
  EXPECT_EQ(snapkv.setting("device"), "");
}

TEST(ReadResults, SkipsDamagedFoldersWithALineThatNamesThem) {
  const TemporaryFolder folder;
  write_ours(folder, "knorm", 0.5);
  const std::string config = "model: \"demo\"\ndataset: \"d\"\nprotocol: \"chunked\"\n";
  const std::map<std::string, std::map<std::string, std::string>> damaged = {
      {"a__m__cut__0.50", {{"metrics.json", "{\"press\": \"cut\", \"compress"}, {"config.yaml", config}}},
      {"b__m__empty__0.50", {{"metrics.json", ""}, {"config.yaml", config}}},
      {"c__m__no_metrics__0.50", {{"config.yaml", config}, {"predictions.csv", "text\n"}}},
      {"d__m__no_ratio__0.50", {{"metrics.json", "{\"press\": \"x\", \"perplexity\": 3}"}, {"config.yaml", config}}},
      {"e__m__ratio_two__2.00",
       {{"metrics.json", "{\"press\": \"x\", \"compression_ratio\": 2, \"perplexity\": 3}"}, {"config.yaml", config}}},
      {"f__m__no_model__0.50",
       {{"metrics.json", "{\"press\": \"x\", \"compression_ratio\": 0.5, \"perplexity\": 3}"},
        {"config.yaml", "dataset: d\n"}}},
      {"g__m__bad_yaml__0.50", {{"metrics.json", "{}"}, {"config.yaml", "a: [1, 2\nb: }"}}},
      {"h__m__binary__0.50", {{"metrics.json", std::string("\0\1\2\xff", 4)}, {"config.yaml", "\xff\xfe\0"}}},
      {"i__m__list__0.50", {{"metrics.json", "[1, 2]"}, {"config.yaml", config}}},
      {"j__m__deep__0.50", {{"metrics.json", std::string(100000, '[')}, {"config.yaml", std::string(100000, '[')}}},
      {"k__m__other_types__0.50",
       {{"metrics.json", "{\"press\": 3, \"compression_ratio\": \"x\"}"}, {"config.yaml", config}}},
  };
  for (const auto& [name, files] : damaged) write_files(folder.path() / name, files);
  testing::internal::CaptureStderr();
  const auto rows = read_result_folders({folder.path()});
  const std::string said = testing::internal::GetCapturedStderr();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].press, "knorm");
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), static_cast<std::ptrdiff_t>(damaged.size())) << said;
  for (const auto& [name, files] : damaged) EXPECT_THAT(said, HasSubstr(name));
}

TEST(ReadResults, NothingAtAllIsAnError) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of({folder.path()}), HasSubstr("no readable result folder"));
  EXPECT_THAT(message_of({folder.path() / "nowhere"}), HasSubstr("no such folder"));
  EXPECT_THAT(message_of({folder.file("a.txt", "x")}), HasSubstr("no such folder"));
}

TEST(ReadResults, LeavesOutWhatIsStillBeingWritten) {
  const TemporaryFolder folder;
  write_ours(folder, "knorm", 0.5);
  write_files(folder.path() / ".pg19_ppl__demo__tova__0.50.tmp17", {{"metrics.json", "{"}});
  testing::internal::CaptureStderr();
  EXPECT_EQ(read_result_folders({folder.path()}).size(), 1u);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

std::string of_kvpress(const std::string& more) {
  return "press_name: knorm\nmodel: m\ndataset: d\ncompression_ratio: 0.5\n" + more;
}

/// Aliases that stand for a part ten times, whose parts stand for another ten times, and so on.
TEST(ReadResults, AliasesDoNotMultiplyTheWork) {
  std::string bomb = "x0: &x0 {a: 1, b: 2, c: 3, d: 4, e: 5, f: 6, g: 7, h: 8, i: 9, j: 10}\n";
  std::string wide = "y0: &y0 [" + std::string(20000, 'a') + "]\ny1: [";
  for (int level = 1; level < 14; ++level) {
    bomb += fmt::format("x{0}: &x{0} {{", level);
    for (int i = 0; i < 10; ++i) bomb += fmt::format("{}k{}: *x{}", i == 0 ? "" : ", ", i, level - 1);
    bomb += "}\n";
  }
  for (int i = 0; i < 30000; ++i) wide += "*y0, ";
  const TemporaryFolder folder;
  write_ours(folder, "knorm", 0.5);
  write_files(folder.path() / "a", {{"metrics.json", R"({"qa": 1})"}, {"config.yaml", of_kvpress(bomb)}});
  write_files(folder.path() / "b", {{"metrics.json", R"({"qa": 1})"}, {"config.yaml", of_kvpress(wide + "]\n")}});
  write_files(folder.path() / "c",
              {{"metrics.json", R"({"qa": 1})"}, {"config.yaml", of_kvpress(std::string(1 << 20, '#'))}});
  write_files(folder.path() / "d",
              {{"metrics.json", R"({"qa": 1})"}, {"config.yaml", of_kvpress("x: " + std::string(100000, '[') + "\n")}});
  write_files(folder.path() / "e", {{"metrics.json", R"({"qa": 1})"}, {"config.yaml", of_kvpress("x: &x {y: *x}\n")}});
  testing::internal::CaptureStderr();
  const Timer timer;
  const auto rows = read_result_folders({folder.path()});
  EXPECT_LT(timer.seconds(), 5);  // on a busy machine; a tenth of a second each
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_LE(rows.size(), 2u);
  for (const char* name : {"a", "b", "c", "d"}) {
    EXPECT_THAT(said, HasSubstr((folder.path() / name).string() + ": skipped")) << name;
  }
}

TEST(ReadResults, NumbersThatNothingCanShowAreLeftOutAndSaid) {
  const TemporaryFolder folder;
  Json metrics = metrics_of("knorm", 0.5);
  metrics["bits_per_byte"] = 1e300;
  metrics["kl_full_ci95"] = {-1e200, 1e200};
  write_result_folder(folder.path(), "ours__m__knorm__0.50", "text\n0\n", metrics, config_of("pg19_ppl"));
  write_files(folder.path() / "theirs__m__knorm__0.50",
              {{"metrics.json", R"({"qa": Infinity, "task": {"f1": [1e308, 1e308]}, "em": 2})"},
               {"config.yaml", of_kvpress("")}});
  testing::internal::CaptureStderr();
  const auto rows = read_result_folders({folder.path()});
  const std::string said = testing::internal::GetCapturedStderr();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_FALSE(rows[0].number("bits_per_byte"));
  EXPECT_FALSE(rows[0].interval("kl_full"));
  EXPECT_EQ(rows[0].number("perplexity"), 42.5);
  EXPECT_EQ(rows[1].numbers, (std::map<std::string, double>{{"em", 2}}));
  EXPECT_THAT(said, HasSubstr("ours__m__knorm__0.50: bits_per_byte in metrics.json left out"));
  EXPECT_THAT(said, HasSubstr("theirs__m__knorm__0.50: 1 number in metrics.json left out"));
  EXPECT_THAT(said, HasSubstr("theirs__m__knorm__0.50: task.f1 in metrics.json left out"));
}

TEST(ReadResults, WhatWasEvictedIsMeasured) {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& press, double ratio, const Json& more) {
    Json metrics = metrics_of(press, ratio);
    metrics.update(more);
    write_result_folder(folder.path(), result_folder_name("pg19_ppl", "demo", press, ratio), "text\n0\n", metrics,
                        config_of("pg19_ppl"));
  };
  write("no_press", 0, {{"cache_tokens", 1000}, {"cache_bytes", 8000}});
  write("knorm", 0.5, {{"cache_tokens", 500}, {"cache_bytes", 4100}});
  write("simlayerkv", 0.5, {{"cache_tokens", 1000}, {"cache_bytes", 8000}});
  write("think", 0.5, {{"cache_tokens", 1000}, {"cache_bytes", 6000}});
  write("dms", 0.5, {{"cache_tokens", 1000}, {"cache_bytes", 8000}, {"evicted_share", 0.125}});
  std::map<std::string, double> evicted;
  for (const RunRow& row : read_result_folders({folder.path()})) evicted[row.press] = row.evicted();
  EXPECT_EQ(evicted, (std::map<std::string, double>{
                         {"no_press", 0}, {"knorm", 0.5}, {"simlayerkv", 0}, {"think", 0.25}, {"dms", 0.125}}));
}

/// https://owasp.org/www-community/attacks/CSV_Injection
TEST(Csv, NoCellIsAFormula) {
  for (const std::string text : {"=1+1", "+1+1", "-1+1", "@SUM(A1)", "\tx", "=cmd|' /C calc'!A0"}) {
    EXPECT_EQ(csv_cell(text), "'" + text);
  }
  EXPECT_EQ(csv_cell("=a,\"b"), "\"'=a,\"\"b\"");
  for (const std::string number : {"-1", "+0.5", "-1e-05", "-.5", "0"}) EXPECT_EQ(csv_cell(number), number);
  for (const std::string text : {"a=b", "", "knorm", "1-1"}) EXPECT_EQ(csv_cell(text), text);
}

TEST(Csv, ReadsQuotedFieldsAndWritesThem) {
  std::size_t at = 0;
  std::vector<std::string> fields;
  const std::string text = "a,\"b, \"\"c\"\"\r\nd\",\r\n1,2";
  ASSERT_TRUE(next_csv_record(text, at, fields));
  EXPECT_EQ(fields, (std::vector<std::string>{"a", "b, \"c\"\r\nd", ""}));
  ASSERT_TRUE(next_csv_record(text, at, fields));
  EXPECT_EQ(fields, (std::vector<std::string>{"1", "2"}));
  EXPECT_FALSE(next_csv_record(text, at, fields));
  EXPECT_EQ(csv_cell("plain"), "plain");
  EXPECT_EQ(csv_cell("a\"b,c"), "\"a\"\"b,c\"");
}

}  // namespace
}  // namespace kvpress
