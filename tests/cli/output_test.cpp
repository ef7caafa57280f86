// Where results go: nothing is destroyed, and what cannot be written is an error before anything is computed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/program.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using test::content_of;
using test::Ended;
using test::kProgram;
using test::kProjectDir;
using test::run_program;
using test::TemporaryFolder;
using testing::HasSubstr;

const std::string kShort = "ppl -m demo --max-tokens 60 --quiet --press knorm ";

TEST(Output, AFileIsMadeWithItsFolders) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "new/folder/r.json";
  ASSERT_EQ(run_program(kShort + "-o " + path.string()).code, 0);
  EXPECT_TRUE(nlohmann::json::accept(content_of(path)));
}

TEST(Output, StandardOutputIsWrittenTo) {
  const Ended ended = run_program(kShort + "-o /dev/stdout");
  ASSERT_EQ(ended.code, 0) << ended.err;
  // The document, then the table.
  const auto end = ended.out.rfind("}\n");
  ASSERT_NE(end, std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(ended.out.substr(0, end + 2))["n_tokens"], 60);
  EXPECT_THAT(ended.out.substr(end), HasSubstr("knorm"));
  EXPECT_TRUE(fs::is_symlink("/dev/stdout"));
}

TEST(Output, NamesThatAreNotUtf8AreWritten) {
  const TemporaryFolder folder;
  const fs::path text = folder.file("caf\xe9.txt", std::string(2000, 'a'));
  const fs::path path = folder.path() / "r\xe9.json";
  const Ended ended = run_program(kShort + "--text '" + text.string() + "' -o '" + path.string() + "'");
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(nlohmann::json::parse(content_of(path))["dataset"].get<std::string>(), HasSubstr("caf\uFFFD.txt"));
  const std::string runs = (folder.path() / "runs").string();
  EXPECT_EQ(run_program("evaluate -m demo --max-tokens 60 --quiet --press-name knorm --text '" + text.string() +
                        "' --output-dir " + runs)
                .code,
            0);
}

TEST(Output, LongNamesOfModelsAreShortenedAndStayDifferent) {
  const TemporaryFolder folder;
  fs::path model = folder.path();
  for (int i = 0; i < 8; ++i) model /= "experiments_and_checkpoints_0" + std::to_string(i);
  fs::create_directories(model.parent_path());
  fs::create_directory_symlink(fs::path(kProjectDir) / "models/kvpress-demo", model);
  const std::string runs = (folder.path() / "runs").string();
  const Ended ended = run_program("evaluate -m " + model.string() +
                                  " --max-tokens 60 --quiet --press-sequence knorm,snapkv --output-dir " + runs);
  ASSERT_EQ(ended.code, 0) << ended.err;
  int n = 0;
  for (const auto& it : fs::directory_iterator(runs)) {
    ++n;
    EXPECT_LE(it.path().filename().string().size(), 255u);
    EXPECT_TRUE(fs::exists(it.path() / "metrics.json"));
  }
  EXPECT_EQ(n, 2);
}

TEST(Output, WhatCannotBeWrittenFailsBeforeTheWork) {
  // /proc takes no files, not even root's. The model is not there either: whoever looks for it first says so.
  for (const std::string& command : std::vector<std::string>{
           "evaluate -m /no/model --dataset pg19_ppl --press-name knorm --quiet --output-dir /proc/runs",
           "evaluate -m /no/model --dataset pg19_ppl --press-name knorm --quiet -o /proc",
           "calibrate qfilter -m /no/model --dataset pg19 --quiet -o /proc/q.safetensors",
           "calibrate qfilter -m /no/model --dataset pg19 --quiet -o /proc/x/q.safetensors",
           "ppl -m /no/model --dataset pg19 --quiet -o /proc/r.json",
           "ppl -m /no/model --dataset pg19 --quiet --per-token /proc/r.csv",
           "ppl -m /no/model --dataset pg19 --quiet --timeline-file /proc/r.json",
           "compare -m /no/model --dataset pg19 --quiet -o /proc/r.json",
           "compare -m /no/model --dataset pg19 --quiet --per-token /proc/r.npz",
           "task needle -m /no/model --quiet -o /proc/task",
           "heatmap -m /no/model --quiet -o /proc/heat",
           "heatmap -m /no/model --quiet -o /proc/heat.json",
           "heatmap -m /no/model --quiet --scores /proc/scores.csv",
           "breakeven -m /no/model --quiet -o /proc/be",
           "bench -m /no/model --quiet -o /proc/bench.json",
           "sweep -m demo --quiet -o /proc/sweep",
       }) {
    const Ended ended = run_program(command);
    EXPECT_EQ(ended.code, 1) << command << "\n" << ended.err;
    EXPECT_THAT(ended.err, HasSubstr("/proc")) << command;
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  }
}

TEST(Output, AFileSizeLimitIsAnError) {
  const TemporaryFolder folder;
  const std::string file = (folder.path() / "run.json").string();
  // Two blocks of 512 bytes: less than the document has, and as much as LLVM's OpenMP writes when it starts.
  const std::string command = "ppl -m demo --max-tokens 200 --quiet -o " + file;
  const int status = std::system(("ulimit -f 2; " + std::string(kProgram) + " " + command + " 2>/dev/null").c_str());
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Output, ANewlineInAFolderReachesNoScript) {
  const TemporaryFolder folder;
  const std::string path = (folder.path() / "a\ntouch b").string();
  const Ended ended = run_program("sweep -m demo --presses knorm --quiet --slurm -o '" + path + "'");
  EXPECT_EQ(ended.code, 2) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("--output"));
  EXPECT_FALSE(fs::exists(path));
}

}  // namespace
}  // namespace kvpress
