// Presses with trained parts: on every schedule, and with files that are missing or wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "kvpress/base/error.h"
#include "kvpress/eval/run.h"
#include "kvpress/press/compressor.h"
#include "small_model.h"
#include "temporary_folder.h"
#include "test_data.h"

namespace kvpress {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Trained : public testing::Test {
 protected:
  Trained() : files_(std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models/llama-gqa").string()))) {
    config_ = read_config(*files_);
  }

  NamedPress prepared(const std::string& text) const {
    NamedPress press = parse_press(text);
    press.press->prepare({config_, "small"});
    return press;
  }
  std::string complaint(const std::string& text) const {
    try {
      prepared(text);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
  static std::string part(const std::string& name) { return (test::data_dir() / "trained/llama-gqa" / name).string(); }

  RunResult run(const std::string& press, Protocol protocol, std::int64_t target_size = 0) {
    Model model(files_, {false, DType::f32});
    TokenizedText text;
    text.ids = test::References("forward/llama-gqa.safetensors").ints("tokens");
    text.n_bytes.assign(text.ids.size(), 3);
    RunSettings settings;
    settings.protocol.protocol = protocol;
    settings.protocol.max_length = 192;
    settings.protocol.chunk_size = 48;
    settings.compression.budget.ratio = 0.5;
    if (target_size > 0) {
      settings.protocol.context_tokens = 96;
      settings.compression.compression_interval = 16;
      settings.compression.decoding_budget = Budget::of_tokens(target_size);
    }
    return test::run_press(model, {text}, prepared(press), settings);
  }

  std::vector<std::string> scorers() const {
    return {"qfilter(file=" + part("qfilter.safetensors") + ")",
            "expected_attention(stats=" + part("expected_attention.safetensors") + ")",
            "kvzap(model_type=linear, file=" + part("kvzap_linear.safetensors") + ")",
            "kvzap(file=" + part("kvzap_mlp.safetensors") + ")"};
  }

  std::shared_ptr<ModelFiles> files_;
  ModelConfig config_;
  test::TemporaryFolder folder_;
};

TEST_F(Trained, ScorersHoldTheBudgetInChunksAndWhileDecoding) {
  for (const std::string& press : scorers()) {
    EXPECT_EQ(run(press, Protocol::chunked).cache_tokens, 96) << press;
    const RunResult decoded = run(press, Protocol::decode, 40);
    EXPECT_LE(decoded.cache_tokens, 40 + 16) << press;
    EXPECT_TRUE(std::isfinite(decoded.mean_nll())) << press;
  }
}

TEST_F(Trained, KVzapScoresATokenTheSameInWhateverBlockItComes) {
  // With scores that no later token changes, chunks and one long prefill keep the same best ones.
  const std::string press = scorers()[2];
  Model model(files_, {false, DType::f32});
  const auto tokens = test::References("forward/llama-gqa.safetensors").ints("tokens");
  std::vector<std::vector<float>> carried;
  for (const std::size_t block : {std::size_t{192}, std::size_t{31}, std::size_t{1}}) {
    const NamedPress kvzap = prepared(press);
    Compressor compressor(kvzap.plan({0.5, {}}));
    compressor.set_active(false);  // only watched
    KVCache cache = compressor.make_cache(model, DType::f32);
    AlignedVector<float> hidden(static_cast<std::size_t>(config_.hidden_size));
    for (std::size_t first = 0; first < tokens.size(); first += block) {
      const auto part = std::span(tokens).subspan(first, std::min(block, tokens.size() - first));
      compressor.forward(model, part, cache, {hidden.data(), 1, config_.hidden_size});
    }
    const auto scores = std::as_const(cache).head(1, 1).carried(0);
    carried.emplace_back(scores.begin(), scores.end());
  }
  ASSERT_EQ(carried[0].size(), 192u);
  EXPECT_NE(carried[0][0], carried[0][1]);
  for (std::size_t j = 0; j < 192; ++j) {
    EXPECT_NEAR(carried[0][j], carried[1][j], 1e-4);
    EXPECT_NEAR(carried[0][j], carried[2][j], 1e-4);
  }
}

TEST_F(Trained, HalfOfTheHeadsStream) {
  // 3 of the 6 heads hold 4 + 16 tokens, the others all 192.
  const double expected = (3 * 20 + 3 * 192) / 6.0;
  const std::string sizes = ", sink_size=4, recent_size=16)";
  const std::string file = "duo_attention(file=" + part("duo_attention.safetensors") + sizes;
  EXPECT_EQ(run(file, Protocol::chunked).cache_tokens, expected);
  EXPECT_EQ(run("duo_attention(on_the_fly=true" + sizes, Protocol::chunked).cache_tokens, expected);
  EXPECT_EQ(run("duo_attention(on_the_fly=true, head_compression_ratio=1" + sizes, Protocol::chunked).cache_tokens, 20);
  EXPECT_EQ(run("duo_attention(on_the_fly=true, head_compression_ratio=0" + sizes, Protocol::chunked).cache_tokens,
            192);
  EXPECT_TRUE(std::isfinite(run(file, Protocol::decode, 40).mean_nll()));
  EXPECT_TRUE(std::isfinite(run("duo_attention(on_the_fly=true" + sizes, Protocol::decode, 40).mean_nll()));
}

TEST_F(Trained, MissingFilesSayHowToMakeOne) {
  EXPECT_EQ(complaint("qfilter"),
            "press qfilter: needs file=FILE, parts trained for the model; make one: kvpress calibrate qfilter -m small "
            "-o FILE.safetensors");
  EXPECT_THAT(complaint("kvzap"), AllOf(HasSubstr("kvzap: needs file=FILE"), HasSubstr("calibrate kvzap_linear")));
  EXPECT_THAT(complaint("duo_attention"), HasSubstr("calibrate duo_attention"));
  EXPECT_EQ(complaint("expected_attention"), "");
  EXPECT_THAT(complaint("expected_attention(stats=/no/such)"),
              AllOf(HasSubstr("stats=/no/such: no such file"), HasSubstr("calibrate expected_attention")));
  EXPECT_THAT(complaint("adakv(qfilter(file=/no/such))"), HasSubstr("/no/such"));
  EXPECT_THAT(complaint("duo_attention(on_the_fly=true, file=x)"), HasSubstr("exclude"));
  EXPECT_EQ(complaint("duo_attention(on_the_fly=true)"), "");
}

TEST_F(Trained, WrongFilesAreNamedWithWhatWouldBeRight) {
  const std::string other = (test::data_dir() / "trained/neox-parallel/qfilter.safetensors").string();
  EXPECT_THAT(complaint("qfilter(file=" + other + ")"),
              AllOf(HasSubstr("q_filters in " + other + " is [3, 4, 16]; the model needs [3, 2, 16]; make one"),
                    Not(HasSubstr("\n"))));
  EXPECT_THAT(complaint("qfilter(file=" + part("kvzap_linear.safetensors") + ")"),
              AllOf(HasSubstr("no tensor q_filters"), HasSubstr("layers.0.")));
  EXPECT_THAT(complaint("expected_attention(stats=" + other + ")"), HasSubstr("no tensor query_mean"));
  EXPECT_THAT(complaint("kvzap(file=" + part("kvzap_linear.safetensors") + ")"), HasSubstr("model_type=linear"));
  EXPECT_THAT(complaint("kvzap(model_type=linear, file=" + part("kvzap_mlp.safetensors") + ")"),
              HasSubstr("model_type=mlp"));

  const std::string odd = (folder_.path() / "odd.safetensors").string();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  write_safetensors(odd, std::vector<NamedTensor>{{"q_filters", {3, 2, 16}, std::vector<float>(96, nan)},
                                                  {"head_scores", {3, 2}, std::vector<float>(6, 0.5f)},
                                                  {"sink_size", {1}, {-1.0f}}});
  EXPECT_THAT(complaint("qfilter(file=" + odd + ")"), HasSubstr("not finite"));
  EXPECT_THAT(complaint("duo_attention(file=" + odd + ")"), HasSubstr("sink_size is -1"));
  EXPECT_THROW(prepared("qfilter(file=" + folder_.file("text", "not a tensor").string() + ")"), Error);
}

TEST_F(Trained, PublishedPatternsAreCheckedLineByLine) {
  const auto complaint_of = [&](const std::string& table, const std::string& config) {
    folder_.file("full_attention_heads.tsv", table);
    folder_.file("config.json", config);
    return complaint("duo_attention(file=" + folder_.path().string() + ")");
  };
  const std::string sizes = "{\"sink_size\": 64, \"recent_size\": 256}";
  const std::string table = "0.5\t1\n0\t0.25\n1e-3\t0.75\n";
  EXPECT_EQ(complaint_of(table, sizes), "");
  EXPECT_THAT(complaint_of("0.5\t1\n0\n", sizes), HasSubstr("line 2 has 1 heads; the model needs 3 lines of 2"));
  EXPECT_THAT(complaint_of("0.5\t1\n0\t1\n", sizes), HasSubstr("has 2 lines"));
  EXPECT_THAT(complaint_of("0.5\tx\n", sizes), HasSubstr("line 1: 'x' is not a number"));
  EXPECT_THAT(complaint_of(table, "{\"sink_size\": 64}"), HasSubstr("recent_size"));
  EXPECT_THAT(complaint_of(table, "{"), HasSubstr("sink_size"));
}

}  // namespace
}  // namespace kvpress
