// kvpress report, as a person runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "cli/program.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using test::content_of;
using test::Ended;
using test::run_program;
using test::TemporaryFolder;
using testing::HasSubstr;

TEST(Report, OfWhatEvaluateWrote) {
  const TemporaryFolder folder;
  const std::string path = folder.path().string();
  const Ended evaluated = run_program(
      "evaluate --model demo --dataset wikitext_ppl --press_sequence no_press,knorm,streaming_llm --compression_ratio "
      "0.5 --max-samples 8 --max-tokens 300 --max-length 150 --chunk-size 50 --quiet --output_dir " +
      path + "/runs");
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  const Ended ended = run_program("report " + path + "/runs -o " + path + "/page.html --title 'Two <presses>' --quiet");
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("3 runs: wrote " + path + "/page.html, " + path + "/tradeoff.png, "));
  const std::string page = content_of(path + "/page.html");
  EXPECT_THAT(page, HasSubstr("Two &lt;presses&gt;"));
  EXPECT_THAT(page, HasSubstr("With 50 % of the cache evicted"));
  EXPECT_THAT(content_of(path + "/tradeoff.svg"), HasSubstr("streaming_llm"));
  EXPECT_THAT(content_of(path + "/tradeoff.png"), HasSubstr("PNG"));

  fs::remove(path + "/tradeoff.png");
  fs::remove(path + "/tradeoff.svg");
  EXPECT_EQ(run_program("report " + path + "/runs -o " + path + "/page.html --no-pictures --quiet").code, 0);
  EXPECT_FALSE(fs::exists(path + "/tradeoff.png"));
}

TEST(Report, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  const std::string path = folder.path().string();
  const auto error = [](const std::string& arguments, int code) {
    const Ended ended = run_program("report " + arguments);
    EXPECT_EQ(ended.code, code) << arguments;
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
    return ended.err;
  };
  EXPECT_THAT(error(path + "/nowhere -o " + path + "/p.html", 1), HasSubstr("nowhere"));
  EXPECT_THAT(error(path + " -o " + path + "/p.html", 1), HasSubstr(path));
  EXPECT_THAT(error(path + " -o /proc/no/such/p.html", 1), HasSubstr("no/such"));
  EXPECT_THAT(error("", 2), HasSubstr("folders"));
  EXPECT_FALSE(fs::exists(path + "/p.html"));
}

}  // namespace
}  // namespace kvpress
