// kvpress sweep as a person, a crash and a cluster use it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <sstream>
#include <thread>

#include "cli/program.h"
#include "cli/sweep_runs.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using test::kPlan;
using test::kProgram;
using test::kProjectDir;
using test::results;
using ::testing::HasSubstr;

/// The program in a process of its own, to be killed.
pid_t start(const std::string& arguments, const std::string& before = "") {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setpgid(0, 0);
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, STDOUT_FILENO);
    ::dup2(null, STDERR_FILENO);
    const std::string command = "exec " + before + " " + kProgram + " " + arguments;
    ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  return pid;
}

class Sweep : public ::testing::Test {
 protected:
  /// The same sweep as it comes out when nothing happens to it.
  static const std::map<std::string, nlohmann::json>& undisturbed() {
    static const auto runs = [] {
      const test::TemporaryFolder folder;
      const fs::path sweep = folder.path() / "sweep";
      const test::Ended ended = test::run_program("sweep " + kPlan + " -o " + sweep.string());
      EXPECT_EQ(ended.code, 0) << ended.err;
      return results(sweep);
    }();
    return runs;
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  test::Ended sweep(const std::string& arguments) const { return test::run_program("sweep " + arguments); }
  void expect_refused(const std::string& arguments, int code, const std::string& said) const {
    const test::Ended ended = sweep(arguments);
    EXPECT_EQ(ended.code, code) << arguments;
    EXPECT_THAT(ended.err, HasSubstr(said));
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  }

  test::TemporaryFolder folder_;
};

TEST_F(Sweep, TimelinesBelongToThePlan) {
  const std::string to = path("sweep");
  const std::string file = folder_
                               .file("plan.yaml",
                                     "model: demo\ndatasets: wikitext_ppl\nmax_samples: 2\nmax_tokens: 200\n"
                                     "presses: [knorm]\nratios: 0.5,0.75\ntimeline: true\n")
                               .string();
  ASSERT_EQ(sweep(file + " -o " + to).code, 0);
  EXPECT_GT(fs::file_size(to + "/timeline.png"), 5000u);
  const std::string run = to + "/wikitext_ppl__demo__knorm__0.50";
  EXPECT_THAT(test::content_of(run + "/timeline.json"), HasSubstr("compress"));
  EXPECT_TRUE(fs::exists(to + "/wikitext_ppl__demo__no_press__0.00/timeline.json"));
  // What is made again is made as the plan says.
  fs::remove_all(run);
  expect_refused("--resume " + to + " --timeline false", 2, "--timeline");
  ASSERT_EQ(sweep("--resume " + to).code, 0);
  EXPECT_TRUE(fs::exists(run + "/timeline.json"));
  // Without a word about them there are none.
  const std::string other = path("other");
  ASSERT_EQ(sweep(file + " --timeline false -o " + other).code, 0);
  EXPECT_FALSE(fs::exists(other + "/wikitext_ppl__demo__knorm__0.50/timeline.json"));
  EXPECT_FALSE(fs::exists(other + "/timeline.png"));
}

TEST_F(Sweep, WritesAFolderForEachRunAndAllOfThemTogether) {
  const std::string to = path("sweep");
  const test::Ended ended = sweep(kPlan + " --repeats 2 -o " + to);
  ASSERT_EQ(ended.code, 0) << ended.err;
  const auto document = nlohmann::json::parse(test::content_of(to + "/sweep.json"));
  EXPECT_EQ(document["n_runs"], 62);
  ASSERT_EQ(document["runs"].size(), 31u);
  for (const auto& run : document["runs"]) {
    EXPECT_EQ(run["repeats"], 2);
    const double time = run["runtime_sec"];
    EXPECT_LE(run["runtime_sec_spread"][0].get<double>(), time);
    EXPECT_GE(run["runtime_sec_spread"][1].get<double>(), time);
    // A ratio of nothing is the full cache.
    if (run["compression_ratio"] == 0) {
      EXPECT_EQ(run["kl_full"], 0);
    } else {
      EXPECT_GT(run["kl_full"], 0);
    }
  }
  for (const char* file : {"tradeoff.png", "tradeoff.svg", "report.html"})
    EXPECT_GT(fs::file_size(to + "/" + file), 5000u);
  const std::string csv = test::content_of(to + "/sweep.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 32);
  EXPECT_EQ(document["plan"]["options"]["presses"], "knorm,random,snapkv(window_size=8)");
  // Repetitions come out the same, and as without them.
  const auto runs = results(to);
  for (const auto& [name, run] : undisturbed()) {
    EXPECT_EQ(runs.at(name), run) << name;
    EXPECT_EQ(runs.at(name + "__repeat2"), run) << name;
  }
}

TEST_F(Sweep, LosesNothingWhenKilledAHundredTimes) {
  std::mt19937 generator(1);
  int killed = 0;
  for (int sweeps = 0; killed < 100; ++sweeps) {
    const std::string to = path("sweep" + std::to_string(sweeps));
    const auto n_entries = [&] { return fs::exists(to) ? std::distance(fs::directory_iterator(to), {}) : 0; };
    int longest = 700;  // milliseconds
    while (true) {
      const auto before = n_entries();
      std::uniform_int_distribution<int> milliseconds(0, longest);
      const bool begun = fs::exists(to + "/plan.json");
      const pid_t pid = start("sweep " + (begun ? "--resume " + to : kPlan + " -o " + to));
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds(generator));
      int status = 0;
      pid_t ended = 0;
      while (ended == 0 && std::chrono::steady_clock::now() < end) {
        ended = ::waitpid(pid, &status, WNOHANG);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      if (ended == 0) {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, &status, 0);
        ++killed;
        // On a slow machine nothing may come of so short a life.
        longest = n_entries() > before ? 700 : 2 * longest;
        continue;
      }
      ASSERT_TRUE(WIFEXITED(status));
      ASSERT_EQ(WEXITSTATUS(status), 0);
      break;
    }
    EXPECT_EQ(results(to), undisturbed());
    EXPECT_TRUE(fs::exists(to + "/sweep.json"));
    for (const auto& it : fs::directory_iterator(to)) {
      EXPECT_EQ(it.path().string().find(".tmp"), std::string::npos) << it.path();
    }
  }
}

TEST_F(Sweep, ResumesOnlyWhatIsMissing) {
  const std::string to = path("sweep");
  ASSERT_EQ(sweep(kPlan + " -o " + to).code, 0);
  std::map<std::string, fs::file_time_type> written;
  for (const auto& [name, run] : undisturbed()) written[name] = fs::last_write_time(to + "/" + name + "/metrics.json");
  const std::string missing = "wikitext_ppl__demo__knorm__0.50";
  fs::remove_all(to + "/" + missing);
  const test::Ended ended = sweep("--resume " + to);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(results(to), undisturbed());
  for (const auto& [name, time] : written) {
    const bool same = fs::last_write_time(to + "/" + name + "/metrics.json") == time;
    EXPECT_EQ(same, name != missing) << name;
  }
}

TEST_F(Sweep, TakesItsPlanFromAFile) {
  const std::string plan = path("plan.yaml");
  std::ofstream(plan) << "# a comment\nmodel: demo\ndatasets: [wikitext_ppl]\nmax_samples: 8\nmax_tokens: 400\n"
                         "max_length: 200\nchunk_size: 50\npresses:\n  - knorm\n  - snapkv(window_size=8)\n"
                         "ratios: 0.25\nthreads: 1\n";
  const std::string to = path("sweep");
  const test::Ended ended = sweep(plan + " --ratios 0.5,0.9 -o " + to);
  ASSERT_EQ(ended.code, 0) << ended.err;
  const auto runs = results(to);
  EXPECT_EQ(runs.size(), 5u);
  for (const auto& [name, run] : runs) EXPECT_EQ(undisturbed().at(name), run) << name;
}

TEST_F(Sweep, RefusesPlansThatAreNone) {
  const std::string plan = path("plan.yaml");
  const auto with = [&](const std::string& text) {
    std::ofstream(plan) << text;
    return plan + " -o " + path("sweep");
  };
  expect_refused(with("model: demo\npress: knorm\n"), 2, "'press' is not known; known: model, ");
  expect_refused(with("model: demo\nmodel: demo\n"), 2, "'model' is given twice");
  expect_refused(with("model: demo\npresses: []\n"), 2, "presses: has no value");
  expect_refused(with("model: demo\nrepeats: many\n"), 2, "repeats: 'many' is not a valid value");
  expect_refused(with("model: [demo\n"), 2, "is not valid YAML");
  expect_refused(with("demo\n"), 2, "is not a plan");
  expect_refused(with("model: demo\nratios: [0.5, 1.5]\n"), 2, "1.5 is not a compression ratio");
  expect_refused(path("none.yaml") + " -o " + path("sweep"), 1, "none.yaml");
  expect_refused("-m demo", 2, "exactly one of them is needed");
  expect_refused("-m demo --presses no_press -o " + path("sweep"), 2, "--presses: contains no press except no_press");
  expect_refused("-m demo --presses knorm,knorm -o " + path("sweep"), 2, "'knorm' is given twice");
  expect_refused("-m demo --target-size 100 -o " + path("sweep"), 2,
                 "--target-size: a fixed budget would replace the ratios");
  expect_refused("-m demo --ratios 0.123451,0.123452 -o " + path("sweep"), 2, "two runs would have the name");
  EXPECT_FALSE(fs::exists(path("sweep")));
}

TEST_F(Sweep, RefusesWhatWouldMixOrOverwrite) {
  const std::string to = path("sweep");
  ASSERT_EQ(sweep(kPlan + " -o " + to).code, 0);
  const auto before = results(to);
  expect_refused(kPlan + " -o " + to, 1, "already contains a sweep; resume it with --resume");
  expect_refused("--resume " + to + " --presses knorm", 2, "--presses: is part of the plan");
  expect_refused("--resume " + path("none"), 1, "is not a folder");
  expect_refused("--resume " + folder_.path().string(), 1, "contains no sweep");
  expect_refused("--resume " + to + " --slice 3/3", 2, "is not a slice");

  const std::string metrics = to + "/wikitext_ppl__demo__knorm__0.50/metrics.json";
  const std::string whole = test::content_of(metrics);
  std::ofstream(metrics) << whole.substr(0, whole.size() / 2);
  expect_refused("--resume " + to, 1, "knorm__0.50/metrics.json: is damaged");
  std::ofstream(metrics) << "{}";
  expect_refused("--resume " + to, 1, "or from another version: it has no press");
  std::ofstream(metrics) << whole;

  const std::string plan = to + "/plan.json";
  const std::string text = test::content_of(plan);
  const auto with = [&](const std::string& from, const std::string& by) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), by);
    std::ofstream(plan) << changed;
  };
  with("knorm", "tova");
  expect_refused("--resume " + to, 1, "plan.json: was changed after the sweep was started");
  with("\"format\": 1", "\"format\": 2");
  expect_refused("--resume " + to, 1, "was written by another version of kvpress");
  std::ofstream(plan) << text.substr(0, 100);
  expect_refused("--resume " + to, 1, "plan.json: is damaged");
  std::ofstream(plan) << text;
  EXPECT_EQ(sweep("--resume " + to).code, 0);
  EXPECT_EQ(results(to), before);
}

TEST_F(Sweep, RefusesWhenModelOrTextsHaveChanged) {
  const fs::path model = folder_.path() / "model";
  fs::copy(fs::path(kProjectDir) / "models/kvpress-demo", model, fs::copy_options::recursive);
  const fs::path text = folder_.path() / "text.txt";
  const std::string words = "It was a bright cold day in April, and the clocks were striking thirteen. ";
  std::ofstream(text) << words << words << words;
  const std::string to = path("sweep");
  const std::string plan = "-m " + model.string() + " --datasets " + text.string() + " --presses knorm --ratios 0.5 ";
  const test::Ended ended = sweep(plan + "--chunk-size 16 -o " + to);
  ASSERT_EQ(ended.code, 0) << ended.err;
  std::ofstream(text) << words << words;
  expect_refused("--resume " + to, 1, "the texts have changed since the sweep was started");
  std::ofstream(text) << words << words << words;
  EXPECT_EQ(sweep("--resume " + to).code, 0);
  std::ofstream(model / "config.json", std::ios::app) << "\n";
  expect_refused("--resume " + to, 1, "the model files have changed since the sweep was started");
}

TEST_F(Sweep, LetsNobodyElseIntoItsFolder) {
  const std::string to = path("sweep");
  const pid_t pid = start("sweep " + kPlan + " --repeats 20 -o " + to);
  for (int i = 0; i < 500 && !fs::exists(to + "/plan.json"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  expect_refused("--resume " + to, 1, "another process is using this folder");
  ::kill(pid, SIGKILL);
  int status = 0;
  ::waitpid(pid, &status, 0);
  // The dead hold no locks.
  EXPECT_EQ(sweep("--resume " + to + " --slice 0/1000").code, 0);
}

TEST_F(Sweep, StopsAtCtrlC) {
  const std::string to = path("sweep");
  const pid_t pid = start("sweep " + kPlan + " --repeats 20 -o " + to);
  for (int i = 0; i < 1000 && !fs::exists(to + "/wikitext_ppl__demo__no_press__0.00"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ::kill(pid, SIGINT);
  int status = 0;
  ::waitpid(pid, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
  EXPECT_FALSE(results(to).empty());
}

TEST_F(Sweep, SlicesMakeTheSameWhole) {
  const std::string to = path("sweep");
  ASSERT_EQ(sweep(kPlan + " -o " + to).code, 0);
  for (const auto& [name, run] : undisturbed()) fs::remove_all(to + "/" + name);
  fs::remove(to + "/sweep.json");
  std::vector<pid_t> tasks;
  tasks.reserve(3);
  for (int i = 0; i < 3; ++i) tasks.push_back(start("sweep --resume " + to + " --slice " + std::to_string(i) + "/3"));
  for (const pid_t pid : tasks) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_FALSE(fs::exists(to + "/sweep.json"));
  const test::Ended ended = sweep("--collect " + to);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(fs::exists(to + "/sweep.json"));
  EXPECT_EQ(results(to), undisturbed());
}

TEST_F(Sweep, DryRunWritesNothing) {
  const test::Ended ended = sweep(kPlan + " --dry-run");
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("31 runs: 1 data set x"));
  EXPECT_THAT(ended.out, HasSubstr("tokens to score; about "));
  EXPECT_THAT(ended.out, HasSubstr("wikitext_ppl__demo__snapkv(window_size=8)__0.90"));
}

/// mpirun as root, with more ranks than cores, and with the others going on when one dies.
const std::string kMpirun = "mpirun --allow-run-as-root --oversubscribe --enable-recovery -n 4";

bool has_mpirun() { return std::system("command -v mpirun >/dev/null") == 0; }  // NOLINT

/// The process that is this rank of the sweep in `folder`; 0 when there is none.
pid_t process_of_rank(const std::string& folder, int rank) {
  const std::string wanted = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
  for (const auto& it : fs::directory_iterator("/proc")) {
    const std::string name = it.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string arguments = test::content_of(it.path() / "cmdline");
    if (arguments.find(folder) == std::string::npos || arguments.find("mpirun") != std::string::npos) continue;
    const std::string environment = test::content_of(it.path() / "environ");
    if (environment.find(wanted + '\0') != std::string::npos) return std::stoi(name);
  }
  return 0;
}

TEST_F(Sweep, ManyRanksMakeTheSameWhole) {
  if (!has_mpirun()) GTEST_SKIP() << "mpirun is not installed";
  const std::string to = path("sweep");
  const pid_t pid = start("sweep " + kPlan + " -o " + to, kMpirun);
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(results(to), undisturbed());
  EXPECT_TRUE(fs::exists(to + "/sweep.json"));
}

TEST_F(Sweep, RanksThatDieGiveTheirRunsBack) {
  if (!has_mpirun()) GTEST_SKIP() << "mpirun is not installed";
  const std::string to = path("sweep");
  const pid_t pid = start("sweep " + kPlan + " -o " + to, kMpirun);
  for (const int rank : {2, 3}) {
    // In the midst of their work: some runs are there.
    for (int i = 0; i < 2000; ++i) {
      if (fs::exists(to) && std::distance(fs::directory_iterator(to), {}) > 4 + 5 * rank) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    const pid_t victim = process_of_rank(to, rank);
    EXPECT_NE(victim, 0);
    if (victim != 0) ::kill(victim, SIGKILL);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(results(to), undisturbed());
  EXPECT_TRUE(fs::exists(to + "/sweep.json"));
}

}  // namespace
}  // namespace kvpress
