// What cannot be meant or read: one line on stderr that says what and what would be right, exit code 2 for usage and 1
// for the rest, and nothing half-written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>
#include <thread>

#include "cli/program.h"
#include "http_server.h"
#include "sanitizers.h"

namespace kvpress {
namespace {

using test::Ended;
using test::kProgram;
using test::kProjectDir;
using test::run_program;
using test::TemporaryFolder;
using testing::HasSubstr;

void expect_complaint(const std::string& arguments, int code, const std::string& names) {
  const Ended ended = run_program(arguments);
  EXPECT_EQ(ended.code, code) << arguments << "\n" << ended.err;
  EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << arguments << "\n" << ended.err;
  EXPECT_THAT(ended.err, HasSubstr(names)) << arguments;
  EXPECT_EQ(ended.out, "") << arguments;
}

TEST(BadInput, Usage) {
  expect_complaint("pplx", 2, "command 'pplx' is not known (did you mean 'ppl'?); known: ppl");
  expect_complaint("ppl", 2, "--model");
  expect_complaint("ppl -m demo --no-such-option", 2, "--no-such-option");
  expect_complaint("ppl -m demo --compression-ratio 1", 2, "--compression-ratio: 1");
  expect_complaint("ppl -m demo --compression-ratio -0.1", 2, "[0, 1)");
  expect_complaint("ppl -m demo --compression-ratio nan", 2, "[0, 1)");
  expect_complaint("ppl -m demo --compression-ratio half", 2, "--compression-ratio");
  expect_complaint("ppl -m demo --press knrom", 2, "known: no_press");
  expect_complaint("ppl -m demo --press 'snapkv(window_size=-1)'", 2, "window_size=-1");
  expect_complaint("ppl -m demo --press 'snapkv('", 2, "without its )");
  expect_complaint("ppl -m demo --protocol sideways", 2, "known: window, chunked");
  expect_complaint("ppl -m demo --dtype int3", 2, "--dtype: 'int3'");
  expect_complaint("ppl -m demo --weights int3", 2, "--weights: 'int3'");
  expect_complaint("ppl -m demo --cache-dtype int3", 2, "--cache-dtype: 'int3'");
  expect_complaint("ppl -m demo --cache-dtype int4 --cache-residual -1", 2, "--cache-residual: -1");
  expect_complaint("ppl -m demo --device cuda", 2, "--device: 'cuda'");
  expect_complaint("ppl -m demo --threads -2", 2, "--threads: -2");
  expect_complaint("ppl -m demo --threads 100000", 2, "--threads: 100000 is too many");
  expect_complaint("ppl -m demo --max-tokens 99999999999999999999", 2, "--max-tokens");
  expect_complaint("ppl -m demo --max-tokens -99999999999999999999", 2, "--max-tokens");
  expect_complaint("ppl -m demo --threads 4294967298", 2, "--threads");
  expect_complaint("ppl -m demo --seed 99999999999999999999", 2, "--seed");
  expect_complaint("ppl -m demo --budget 99999999999999999999", 2, "--budget");
  expect_complaint("ppl -m demo --budget 99999999999999999999GiB", 2, "--budget");
  expect_complaint("ppl -m demo --press \"$(printf 'adakv(%.0s' $(seq 500))knorm\"", 2, "nests more than");
  expect_complaint("ppl -m demo --press \"$(printf 'adakv(%.0s' $(seq 20000))knorm\"", 2, "4096 are the most");
  expect_complaint("compare -m demo --presses \"$(printf 'adakv(%.0s' $(seq 20000))\"", 2, "nests more than");
  expect_complaint("ppl -m demo --max-length 1", 2, "--max-length: 1");
  expect_complaint("ppl -m demo --protocol window --max-length 100 --stride 101", 2, "--stride: 101");
  expect_complaint("ppl -m demo --chunk-size 0", 2, "--chunk-size: 0");
  expect_complaint("ppl -m demo --protocol continuation --max-tokens 100 --context-tokens 100", 2,
                   "--context-tokens: 100");
  expect_complaint("ppl -m demo --protocol decode --compression-interval 10", 2, "--target-size");
  expect_complaint("generate -m demo -p a --compression-interval 10", 2, "--target-size");
  expect_complaint("ppl -m demo --positions slots", 2, "--positions");
  expect_complaint("generate -m demo -p a --positions slots", 2, "--positions");
  expect_complaint("ppl -m demo --target-size -1", 2, "--target-size");
  expect_complaint("ppl -m demo --max-samples 65", 2, "65");
  expect_complaint("ppl -m demo --dataset-name nothing", 2, "known: wikitext, pg19");
  expect_complaint("ppl -m demo --dataset-name wikitext --split train", 2, "split 'train'");
  expect_complaint("evaluate -m demo --dataset wiki", 2, "known: wikitext_ppl, pg19_ppl");
  expect_complaint("evaluate -m demo --press_sequence knorm,,tova", 2, "empty name");
  expect_complaint("generate -m demo", 2, "--prompt");
  expect_complaint("generate -m demo -p x --top-p 0", 2, "--top-p: 0");
}

TEST(BadInput, Models) {
  const TemporaryFolder folder;
  expect_complaint("inspect /no/such/model", 1, "/no/such/model");
  {
    const test::ScopedVariable offline("HF_HUB_OFFLINE", "1");
    expect_complaint("inspect EleutherAI/no-such-model", 1, "kvpress pull EleutherAI/no-such-model");
  }
  expect_complaint("inspect " + folder.path().string(), 1, "config.json");
  expect_complaint("inspect " + folder.file("a.gguf", "GGUF").string(), 1, "a.gguf");
  expect_complaint("inspect " + folder.file("b.gguf", "").string(), 1, "b.gguf");
  expect_complaint("inspect " + folder.file("c.txt", "no model").string(), 2, "c.txt");

  // A copy of the model that ships, spoilt in one place after another.
  const auto model = std::filesystem::path(kProjectDir) / "models" / "kvpress-demo";
  const std::string config = test::content_of(model / "config.json");
  const std::string weights = test::content_of(model / "model.safetensors");
  const auto spoilt = [&](const std::string& config_text, const std::string& weight_bytes, const std::string& names) {
    folder.file("config.json", config_text);
    folder.file("model.safetensors", weight_bytes);
    std::filesystem::copy_file(model / "tokenizer.json", folder.path() / "tokenizer.json",
                               std::filesystem::copy_options::overwrite_existing);
    expect_complaint("ppl -m " + folder.path().string() + " --max-tokens 50", 1, names);
  };
  const auto replaced = [](std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
  };
  spoilt("{", weights, "config.json: is not valid JSON");
  spoilt("{}", weights, "model_type");
  spoilt(replaced(config, "\"gpt_neox\"", "\"mamba\""), weights, "architecture 'mamba' is not known; known: gemma2, ");
  spoilt(replaced(config, "\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7"), weights, "gpt_neox.layers.6");
  spoilt(replaced(config, "\"num_hidden_layers\": 6", "\"num_hidden_layers\": 5"), weights, "gpt_neox.layers.5");
  spoilt(replaced(config, "\"num_hidden_layers\": 6", "\"num_hidden_layers\": -6"), weights,
         "'num_hidden_layers' is -6");
  spoilt(replaced(config, "\"num_hidden_layers\": 6", "\"num_hidden_layers\": \"6\""), weights, "num_hidden_layers");
  spoilt(replaced(config, "\"vocab_size\": 8192", "\"vocab_size\": 8000"), weights, "gpt_neox.embed_in.weight");
  spoilt(replaced(config, "\"default\"", "\"tango\""), weights, "rotary scaling 'tango'");
  spoilt(replaced(config, "\"default\"", "\"yarn\""), weights, "'factor' of rotary scaling 'yarn' is missing");
  spoilt(replaced(config, "\"gelu\"", "\"tango\""), weights, "'hidden_act' is 'tango'");
  spoilt(config, weights.substr(0, weights.size() / 2), "truncated");
  spoilt(config, weights.substr(0, 5), "too few");
  spoilt(config, replaced(weights, "BF16", "BF17"), "BF17");
  spoilt(config, std::string("\xff\xff\xff\xff\xff\xff\xff\x7f") + weights.substr(8), "header claims");
}

TEST(BadInput, Texts) {
  const TemporaryFolder folder;
  const auto with = [](const std::string& path) { return "ppl -m demo --dataset-name " + path; };
  expect_complaint(with("/no/such/text.txt"), 1, "/no/such/text.txt");
  expect_complaint(with(folder.file("empty.txt", "").string()), 2, "no text to score");
  expect_complaint(with(folder.file("one.txt", "a").string()), 2, "at least 2");
  expect_complaint(with(folder.file("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": 3}\n").string()), 1, "line 2");
  expect_complaint(with(folder.file("broken.jsonl", "{\"text\": \n").string()), 1, "line 1");
  expect_complaint(with(folder.file("cut.txt.gz", "\x1f\x8b\x08").string()), 1, "cut.txt.gz");
  expect_complaint(with(folder.file("cut.txt.xz", "nonsense").string()), 1, "cut.txt.xz");
  expect_complaint(with(folder.file("cut.txt.zst", "nonsense").string()), 1, "cut.txt.zst");
  expect_complaint(with(folder.file("picture.png", "x").string()), 2, "picture.png");
}

TEST(BadInput, HostileBytesAreText) {
  const TemporaryFolder folder;
  std::string bytes;
  for (int i = 0; i < 2000; ++i) bytes += static_cast<char>(i * 37 % 256);
  const Ended ended = run_program("ppl -m demo --quiet --dataset-name " + folder.file("bytes.txt", bytes).string());
  EXPECT_EQ(ended.code, 0) << ended.err;
}

TEST(BadInput, OutputsThatCannotBeWritten) {
  const TemporaryFolder folder;
  const std::string file = folder.file("file", "x").string();
  expect_complaint("ppl -m demo --max-tokens 60 --quiet -o /proc/no/such/r.json", 1, "/proc/no/such/r.json");
  expect_complaint("ppl -m demo --max-tokens 60 --quiet -o " + file + "/r.json", 1, "r.json");
  expect_complaint("evaluate -m demo --max-tokens 60 --quiet --output-dir " + file + "/runs", 1, "runs");
  // A full disk behind the standard output.
  const Ended full = run_program("presses >/dev/full; exit $? #");
  EXPECT_EQ(full.code, 1);
}

TEST(BadInput, ClosedStreamsAreAnError) {
  for (const char* closed : {">&-", "2>&-", ">&- 2>&-"}) {
    const Ended ended = run_program(std::string("presses ") + closed + "; exit $? #");
    EXPECT_EQ(ended.code, std::string(closed) == "2>&-" ? 0 : 1) << closed;
  }
}

/// Whether a process has a handler of its own for SIGINT, as /proc tells.
bool catches_interrupt(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  const std::string caught = "SigCgt:";
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(caught)) continue;
    return (std::stoull(line.substr(caught.size()), nullptr, 16) >> (SIGINT - 1) & 1) != 0;
  }
  return false;
}

TEST(Interrupt, EndsWithinASecondAndLeavesNothingHalfWritten) {
  const TemporaryFolder folder;
  const std::string runs = (folder.path() / "runs").string();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::freopen("/dev/null", "w", stdout);
    std::freopen("/dev/null", "w", stderr);
    execl(kProgram, kProgram, "evaluate", "-m", "demo", "--dataset", "pg19_ppl", "--protocol", "decode", "--output-dir",
          runs.c_str(), nullptr);
    _exit(127);
  }
  // On a busy machine a program takes long to begin.
  for (int i = 0; i < 300 && !catches_interrupt(child); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(1000));
  clockid_t clock = 0;
  timespec before{};
  ASSERT_EQ(clock_getcpuclockid(child, &clock), 0);
  ASSERT_EQ(clock_gettime(clock, &before), 0);
  ASSERT_EQ(kill(child, SIGINT), 0);
  int status = 0;
  rusage used{};
  ASSERT_EQ(wait4(child, &status, 0, &used), child);
  // A second of the processor's time, which other work on the machine does not lengthen.
  const double took = static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec - before.tv_sec) +
                      static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6 -
                      static_cast<double>(before.tv_nsec) * 1e-9;
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_LT(took, test::kSanitized ? 10.0 : 1.0);
  EXPECT_FALSE(std::filesystem::exists(runs) && !std::filesystem::is_empty(runs));
}

}  // namespace
}  // namespace kvpress
