// A press of one's own, from a shared library, in the program's commands.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <string>

#include "cli/program.h"
#include "http_server.h"

namespace kvpress {
namespace {

using test::Ended;
using test::kPluginDir;
using test::run_program;
using testing::HasSubstr;
using testing::Not;

const std::string kPlugin = std::string(kPluginDir) + "/value_norm.so";

TEST(Plugin, ItsPressHasANameInEveryCommand) {
  const test::TemporaryFolder folder;
  const std::string with = " --plugin " + kPlugin;
  const std::string short_run = " -m demo --max-tokens 60 --quiet" + with;
  const auto ran = [](const std::string& arguments) {
    const Ended ended = run_program(arguments);
    EXPECT_EQ(ended.code, 0) << arguments << "\n" << ended.err;
    return ended.out;
  };
  EXPECT_THAT(ran("presses" + with), HasSubstr("\nvalue_norm\n"));
  EXPECT_THAT(ran("presses value_norm" + with), HasSubstr("n_recent = 8"));
  EXPECT_THAT(ran("compare --presses 'knorm,value_norm(n_recent=4),adakv(value_norm)'" + short_run),
              HasSubstr("adakv(value_norm)"));
  EXPECT_THAT(ran("ppl --press value_norm" + short_run), HasSubstr("\"press\": \"value_norm\""));
  EXPECT_THAT(ran("heatmap --press value_norm" + short_run), HasSubstr("value_norm"));
  ran("generate -p 'Once upon' -n 2 --press value_norm -m demo --quiet" + with);
  const std::string sweep = (folder.path() / "sweep").string();
  ran("sweep --presses value_norm --ratios 0.5 --datasets pg19_ppl --max-samples 1 -o " + sweep + short_run);
  // The plan names the plugin: whoever takes the sweep up again need not.
  ran("sweep --quiet --resume " + sweep);
  EXPECT_THAT(ran("report " + sweep + with + " --no-pictures -o " + (folder.path() / "r.html").string()),
              HasSubstr("runs"));
}

TEST(Plugin, OneAroundAnotherSeesWhatTheInnerOneNeeds) {
  const Ended ended = run_program(
      "compare -m demo --max-tokens 300 --chunk-size 64 --quiet --ratios 0.5 --presses "
      "'knorm,value_norm,newest_match(value_norm),newest_match(snapkv),newest_match(observed_attention)' --plugin " +
      kPlugin + "," + kPluginDir + "/newest_match.so --format csv");
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_EQ(std::count(ended.out.begin(), ended.out.end(), '\n'), 6) << ended.out;  // a header, 5 presses
}

TEST(Plugin, TheVariableLoadsItForEveryCommand) {
  const test::ScopedVariable variable("KVPRESS_PLUGINS", ":" + kPlugin + ":");
  EXPECT_EQ(run_program("presses value_norm").code, 0);
  EXPECT_EQ(run_program("presses value_norm --plugin " + kPlugin).code, 0);  // twice is once
}

TEST(Plugin, WhatIsNoneIsRefused) {
  const auto complaint = [](const std::string& file) {
    const Ended ended = run_program("presses --plugin " + file);
    EXPECT_NE(ended.code, 0);
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
    return ended.err;
  };
  const std::string folder = std::string(kPluginDir) + "/";
  EXPECT_THAT(complaint("/no/such.so"), HasSubstr("/no/such.so: cannot be loaded"));
  EXPECT_THAT(complaint(test::kProgram), HasSubstr("cannot be loaded"));
  EXPECT_THAT(complaint(folder + "no_plugin.so"), HasSubstr("is not a plugin"));
  EXPECT_THAT(complaint(folder + "other_interface.so"), HasSubstr("build it anew"));
  EXPECT_THAT(complaint(folder + "taken_name.so"), HasSubstr("press 'knorm' cannot be registered"));
  EXPECT_THAT(run_program("presses value_norm").err, HasSubstr("'value_norm' is not known"));
}

TEST(Presses, OneOrAllAsJson) {
  const Ended one = run_program("presses snapkv");
  EXPECT_THAT(one.out, HasSubstr("window_size = 64"));
  EXPECT_THAT(one.out, Not(HasSubstr("knorm")));
  EXPECT_EQ(run_program("presses decoding").code, 0);
  const Ended unknown = run_program("presses snapvk");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("'snapvk' is not known (did you mean 'snapkv'?)"));
  const auto json = nlohmann::json::parse(run_program("presses --json").out);
  bool found = false;
  for (const auto& it : json["presses"]) {
    if (it["name"] != "snapkv") continue;
    found = true;
    EXPECT_EQ(it["kind"], "scores");
    EXPECT_EQ(it["parameters"][0]["name"], "window_size");
    EXPECT_EQ(it["parameters"][0]["default"], "64");
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace kvpress
