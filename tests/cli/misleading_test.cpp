// Numbers that would mislead are no result: the program ends, warns, or says what was measured.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>

#include "altered_model.h"
#include "cli/program.h"

namespace kvpress {
namespace {

using test::content_of;
using test::Ended;
using test::run_program;
using test::TemporaryFolder;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::json;

const std::string kText = "--dataset wikitext --max-samples 8 --max-tokens 300 ";

TEST(NotFinite, EndsEveryCommand) {
  const TemporaryFolder folder;
  const std::string model =
      test::altered_model(folder, test::demo_dir(), [](const std::string& name, std::vector<float>& values) {
        if (name == "gpt_neox.layers.2.mlp.dense_4h_to_h.weight") values[10] = 7e4f;
      }).string();
  const std::string in_float16 = " -m " + model + " --dtype float16 --quiet ";
  const std::string out = (folder.path() / "out").string();
  for (const std::string& command :
       {"ppl" + in_float16 + kText, "ppl --protocol decode" + in_float16 + kText,
        "compare --presses knorm --ratios 0.5" + in_float16 + kText, "generate -p 'The king' -n 3" + in_float16,
        "evaluate --dataset wikitext_ppl --max-samples 8 --max-tokens 300 --output-dir " + out + in_float16,
        "task needle --lengths 200 --depths 0.5 --samples 1" + in_float16, "heatmap --press knorm" + in_float16 + kText,
        "breakeven --presses knorm --context-tokens 100 --score-tokens 100 --max-samples 1 --dataset pg19" + in_float16,
        "bench --prefill 32 --depths 8 --presses no_press" + in_float16,
        "calibrate qfilter -o " + out + ".safetensors" + in_float16 + kText}) {
    const Ended ended = run_program(command);
    EXPECT_EQ(ended.code, 1) << command << ended.out;
    EXPECT_THAT(ended.err, AllOf(HasSubstr("token 0 "), HasSubstr("layer 2 gives numbers that are not finite"),
                                 HasSubstr("use --dtype float32 or bfloat16")))
        << command;
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1) << ended.err;
  }
  EXPECT_TRUE(!std::filesystem::exists(out) || std::filesystem::is_empty(out));
  EXPECT_FALSE(std::filesystem::exists(out + ".safetensors"));
  EXPECT_EQ(run_program("ppl -m " + model + " --dtype float32 --quiet " + kText).code, 0);
}

TEST(NotFinite, SaysTextPositionAndToken) {
  const TemporaryFolder folder;
  const std::string model =
      test::altered_model(folder, test::demo_dir(), [](const std::string& name, std::vector<float>& values) {
        if (name != "gpt_neox.layers.1.attention.query_key_value.weight") return;
        for (float& it : values) it *= 1e6f;
      }).string();
  const auto text = folder.file("some text.txt", "The history of the town of the king is long, and so on and so on.");
  const Ended ended =
      run_program("ppl -m " + model + " --dtype float32 --cache-dtype float16 --quiet --text '" + text.string() + "'");
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err,
              AllOf(HasSubstr("some text.txt, token 0 ('The')"), HasSubstr("a cache in float16 does not hold"),
                    HasSubstr("use --cache-dtype float32 or bfloat16")));
}

TEST(Evicted, IsMeasuredAndRanked) {
  const TemporaryFolder folder;
  const std::string runs = (folder.path() / "runs").string();
  const Ended ended = run_program(
      "evaluate --model demo --dataset wikitext_ppl --press_sequence simlayerkv,think,knorm,streaming_llm "
      "--compression_ratio 0.5 --max-samples 8 --max-tokens 600 --max-length 300 --chunk-size 100 --quiet "
      "--output_dir " +
      runs);
  ASSERT_EQ(ended.code, 0) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("press          ratio  evicted"), HasSubstr("simlayerkv      0.50     0.00"),
                               HasSubstr("think           0.50     0.25"), HasSubstr("knorm           0.50     0.50")));
  EXPECT_THAT(ended.out, AllOf(HasSubstr("With 50 % of the cache evicted, "), HasSubstr(" paired over "),
                               HasSubstr("simlayerkv evicted nothing, whatever was asked for, and is not ranked.")));
  EXPECT_THAT(ended.out, Not(HasSubstr("simlayerkv (KL")));
  const std::string page = (folder.path() / "page.html").string();
  ASSERT_EQ(run_program("report " + runs + " -o " + page + " --no-pictures --quiet").code, 0);
  EXPECT_THAT(content_of(page), AllOf(HasSubstr("share of the cache evicted, measured"),
                                      HasSubstr("simlayerkv evicted nothing, whatever was asked for")));
}

TEST(Compared, PairByPairAndTokenByToken) {
  const TemporaryFolder folder;
  const std::string npz = (folder.path() / "tokens.npz").string();
  const std::string command =
      "compare -m demo --presses knorm,streaming_llm --ratios 0.5 --max-length 300 --chunk-size 100 --quiet --format "
      "json " +
      kText;
  const Ended ended = run_program(command + "--against streaming_llm --per-token " + npz);
  ASSERT_EQ(ended.code, 0) << ended.err;
  const Json json = Json::parse(ended.out);
  int n_compared = 0;
  for (const Json& run : json["runs"]) {
    if (run["paired"].is_null()) continue;
    ++n_compared;
    EXPECT_EQ(run["press"], "knorm");
    EXPECT_EQ(run["paired"]["against"], "streaming_llm");
    EXPECT_EQ(run["paired"]["kl_ci95"].size(), 2u);
    EXPECT_LT(run["kl_full_ci95"][0], run["kl_full"]);
  }
  EXPECT_EQ(n_compared, 1);
  EXPECT_THAT(content_of(npz), HasSubstr("nll_full.npy"));
  EXPECT_THAT(run_program(command + "--against tova").err, HasSubstr("--against: 'tova' is not among --presses"));
  EXPECT_THAT(run_program(command + "--per-token a.txt").err, HasSubstr("--per-token: 'a.txt'"));
}

TEST(VoidOptions, AreSaid) {
  const auto warning = [](const std::string& arguments) {
    const Ended ended = run_program(arguments);
    EXPECT_EQ(ended.code, 0) << arguments << ended.err;
    return ended.err;
  };
  const std::string ppl = "ppl -m demo " + kText + "--max-length 200 ";
  EXPECT_THAT(warning(ppl + "--stride 100"),
              HasSubstr("--stride has no effect: it belongs to protocol window, and this run uses protocol chunked; "
                        "remove it, or use --protocol window"));
  EXPECT_THAT(warning(ppl + "--protocol window --chunk-size 100 --context-tokens 20"),
              AllOf(HasSubstr("--chunk-size has no effect"), HasSubstr("--context-tokens has no effect")));
  EXPECT_THAT(warning(ppl + "--protocol continuation --stride 100"),
              AllOf(HasSubstr("--max-length has no effect"), HasSubstr("--stride has no effect")));
  EXPECT_THAT(warning(ppl + "--target-size 50 --compression-ratio 0.25"),
              HasSubstr("--compression-ratio has no effect: --target-size says what is kept"));
  EXPECT_THAT(warning(ppl + "--press no_press --compression-ratio 0.25"),
              HasSubstr("--compression-ratio has no effect: no press"));
  EXPECT_THAT(warning(ppl + "--cache-residual 32"), HasSubstr("--cache-residual has no effect"));
  EXPECT_THAT(warning(ppl + "--press knorm --press-window-layers"),
              HasSubstr("--press-window-layers has no effect: no layer of the model has a window"));
  EXPECT_THAT(warning("ppl -m demo --max-tokens 300 --dataset wikitext_ppl --dataset-config wikitext-103-v1"),
              Not(HasSubstr("no effect")));
  EXPECT_THAT(warning(ppl + "--cache-dtype int4"),
              AllOf(HasSubstr("--cache-dtype int4 saves nothing"), HasSubstr("--cache-residual")));
  EXPECT_THAT(warning(ppl + "--cache-dtype int4 --cache-residual 32"), Not(HasSubstr("saves nothing")));
  EXPECT_THAT(warning("generate -m demo -p 'Once upon' -n 2 --top-k 5"), HasSubstr("--top-k has no effect"));
  EXPECT_THAT(warning(ppl + "--chunk-size 100 --compression-ratio 0.5"), Not(HasSubstr("no effect")));

  const TemporaryFolder folder;
  const auto plan = folder.file("plan.yaml",
                                "model: demo\ndatasets: wikitext_ppl\npresses: knorm\nratios: 0.5\n"
                                "max_samples: 8\nmax_tokens: 200\nmax_length: 100\nstride: 50\n");
  const std::string sweep = (folder.path() / "sweep").string();
  EXPECT_THAT(warning("sweep " + plan.string() + " -o " + sweep), HasSubstr("--stride has no effect"));
  EXPECT_THAT(warning("sweep --resume " + sweep), Not(HasSubstr("no effect")));
}

}  // namespace
}  // namespace kvpress
