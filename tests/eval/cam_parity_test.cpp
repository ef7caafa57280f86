// CaM against kvpress, token by token, with the same draws: tools/references/cam.py.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "kvpress/eval/run.h"
#include "small_model.h"
#include "test_data.h"

namespace kvpress {
namespace {

TEST(CamParity, DecodesAsKvpressDoes) {
  const auto reference = nlohmann::json::parse(read_file(test::data_dir() / "protocols" / "cam.json"));
  RunSettings settings;
  settings.protocol.protocol = Protocol::decode;
  settings.protocol.context_tokens = reference["context"].get<std::int64_t>();
  settings.compression.compression_interval = reference["interval"].get<std::int64_t>();
  settings.compression.decoding_budget = Budget::of_tokens(reference["target"].get<std::int64_t>());
  settings.compression.seed = reference["seed"].get<std::uint64_t>();
  ASSERT_GE(reference["cases"].size(), 8u);
  for (const auto& it : reference["cases"]) {
    const auto name = it["model"].get<std::string>();
    const Model model(std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / name).string())),
                      {false, DType::f32});
    TokenizedText text;
    text.ids = test::References("forward/" + name + ".safetensors").ints("tokens");
    text.n_bytes.assign(text.ids.size(), 1);
    const auto press = it["press"].get<std::string>();
    EXPECT_GT(it["merged"].get<int>(), 100) << press;  // a run that merges nothing would show nothing
    const auto expected = it["nll"].get<std::vector<float>>();
    const RunResult result = test::run_press(model, {text}, parse_press(press), settings);
    ASSERT_EQ(result.nll.size(), expected.size());
    double moved = 0;
    const std::string inner = press.substr(4, press.find_first_of(",)") - 4);
    const RunResult evicted = test::run_press(model, {text}, parse_press(inner), settings);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(result.nll[i], expected[i], 2e-4) << press << ", token " << i;
      moved = std::max(moved, static_cast<double>(std::abs(evicted.nll[i] - expected[i])));
    }
    EXPECT_GT(moved, 1e-2) << press;
  }
}

TEST(CamParity, OtherSchedulesHoldTheBudget) {
  const std::string name = "llama-gqa";
  Model model(std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / name).string())),
              {false, DType::f32});
  TokenizedText text;
  text.ids = test::References("forward/" + name + ".safetensors").ints("tokens");
  text.n_bytes.assign(text.ids.size(), 1);
  const auto n = static_cast<std::int64_t>(text.ids.size());
  RunSettings settings;
  settings.protocol.max_length = n;
  settings.protocol.chunk_size = 30;
  settings.compression.budget.ratio = 0.5;
  settings.protocol.context_tokens = 100;
  for (const char* press : {"cam(knorm)", "cam(expected_attention)", "merging(snapkv)", "finch(window_size=8)",
                            "finch(chunk_length=40)", "key_rerotation(adakv(knorm))"}) {
    settings.protocol.protocol = Protocol::chunked;
    const double chunked = test::run_press(model, {text}, parse_press(press), settings).cache_tokens;
    EXPECT_LE(chunked, n / 2) << press;
    EXPECT_GE(chunked, n / 2 - 5) << press;  // chunk by chunk, parts are rounded down
    settings.protocol.protocol = Protocol::continuation;
    const double once = test::run_press(model, {text}, parse_press(press), settings).cache_tokens;
    EXPECT_EQ(once, 50) << press;
  }
}

}  // namespace
}  // namespace kvpress
