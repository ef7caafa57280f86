// kvpress calibrate on the model that ships: each file is used by its press at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "cli/program.h"

namespace kvpress {
namespace {

using test::content_of;
using test::Ended;
using test::run_program;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using Json = nlohmann::json;

struct Method {
  std::string name;
  std::string press;  // before the file
};
const std::vector<Method>& methods() {
  static const std::vector<Method> kMethods = {{"qfilter", "qfilter(file="},
                                               {"expected_attention", "expected_attention(stats="},
                                               {"duo_attention", "duo_attention(sink_size=4, recent_size=32, file="},
                                               {"kvzap_linear", "kvzap(model_type=linear, file="}};
  return kMethods;
}

void make_and_use(const std::string& model, const std::string& tokens) {
  const TemporaryFolder folder;
  for (const Method& method : methods()) {
    const std::string file = (folder.path() / (method.name + ".safetensors")).string();
    const Ended made = run_program("calibrate " + method.name + " -m " + model + " --dataset pg19 --max-tokens " +
                                   tokens + " --max-length 256 --quiet -o " + file);
    ASSERT_EQ(made.code, 0) << made.err;
    EXPECT_EQ(made.err, "");
    EXPECT_THAT(made.out, AllOf(HasSubstr(file), HasSubstr(tokens + " tokens"), HasSubstr("--press")));
    const std::string content = content_of(file);
    EXPECT_THAT(content, AllOf(HasSubstr("\"method\":\"" + method.name + "\""), HasSubstr("\"dataset\":\"pg19"),
                               HasSubstr("\"n_tokens\":\"" + tokens + "\""), HasSubstr("\"version\":")));
    const Ended used = run_program("ppl -m " + model + " --dataset wikitext --max-tokens 256 --protocol continuation " +
                                   "--quiet --press '" + method.press + file + ")'");
    ASSERT_EQ(used.code, 0) << used.err;
    const Json document = Json::parse(used.out);
    EXPECT_GT(document["compressed"]["kl_full"], 1e-4) << method.name;
    EXPECT_LT(document["compressed"]["cache_tokens"], document["baseline"]["cache_tokens"]) << method.name;
  }
}

TEST(CalibrateCommand, MakesFilesThatPressesRead) { make_and_use("demo", "1024"); }

TEST(SmolLM2CalibrateCommand, MakesFilesThatPressesRead) {
  const char* model = std::getenv("KVPRESS_SMOLLM2");
  if (model == nullptr) GTEST_SKIP() << "KVPRESS_SMOLLM2 does not name the model's GGUF";
  make_and_use(model, "512");
}

TEST(CalibrateCommand, SaysWhatIsWrongBeforeItStarts) {
  const auto complaint = [](const std::string& arguments) {
    const Ended ended = run_program("calibrate " + arguments);
    EXPECT_EQ(ended.code, 2) << arguments;
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
    return ended.err;
  };
  EXPECT_THAT(complaint("qfliter -m demo -o x"), AllOf(HasSubstr("'qfliter'"), HasSubstr("duo_attention")));
  EXPECT_THAT(complaint("qfilter -m demo"), HasSubstr("--output"));
  EXPECT_THAT(complaint("qfilter -m demo -o x --max-tokens -1"), HasSubstr("--max-tokens"));
  EXPECT_THAT(run_program("ppl -m demo --press qfilter").err, HasSubstr("kvpress calibrate qfilter -m demo"));
}

}  // namespace
}  // namespace kvpress
