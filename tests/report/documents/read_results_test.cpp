// Result folders, ours and kvpress's, whole and damaged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "kvpress/base/error.h"
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
