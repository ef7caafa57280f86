// Per-token losses of every protocol and press against transformers and kvpress, on small random models in float32.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "kvpress/eval/experiment.h"
#include "kvpress/model/model.h"
#include "reference_presses.h"
#include "small_model.h"
#include "test_data.h"

namespace kvpress {
namespace {

class ProtocolParity : public testing::TestWithParam<std::string> {
 protected:
  ProtocolParity()
      : references_("protocols/" + GetParam() + ".safetensors"),
        model_(std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / GetParam()).string())),
               {false, DType::f32}) {
    const test::References forward("forward/" + GetParam() + ".safetensors");
    text_.ids = forward.ints("tokens");
    text_.n_bytes.assign(text_.ids.size(), 1);
  }

  void expect_equal(const std::string& name, const ProtocolSettings& protocol, const std::string& press, double ratio,
                    std::int64_t interval = 0, std::int64_t target = 0) {
    if (!references_.has(name)) return;
    ++compared_;
    RunSettings settings;
    settings.protocol = protocol;
    settings.compression.compression_interval = interval;
    if (interval > 0) settings.compression.decoding_budget = Budget::of_tokens(target);
    settings.compression.budget = {ratio, {}};
    const RunResult run = test::run_press(model_, {text_}, parse_press(press), settings);
    const auto expected = references_.floats(name);
    ASSERT_EQ(run.nll.size(), expected.size()) << name;
    double sum = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(run.nll[i], expected[i], 2e-3) << name << " token " << i;
      sum += expected[i];
    }
    EXPECT_NEAR(run.mean_nll(), sum / static_cast<double>(expected.size()), 1e-4) << name;
  }

  test::References references_;
  Model model_;
  TokenizedText text_;
  int compared_ = 0;
};

TEST_P(ProtocolParity, Window) {
  ProtocolSettings protocol;
  protocol.protocol = Protocol::window;
  protocol.max_length = 64;
  protocol.stride = 32;
  expect_equal("window/m64_s32/nll", protocol, "no_press", 0);
  // Blind to any press: the same losses.
  expect_equal("window/m64_s32/nll", protocol, "knorm", 0.5);
  EXPECT_EQ(compared_, 2);
}

TEST_P(ProtocolParity, Chunked) {
  ProtocolSettings protocol;
  protocol.max_length = 96;
  protocol.chunk_size = 32;
  expect_equal("chunked/m96_c32/no_press/nll", protocol, "no_press", 0);
  for (const auto& [name, press] : test::kReferencePresses) {
    for (const auto& [ratio, text] : {std::pair{0.25, "0.25"}, {0.5, "0.50"}, {0.75, "0.75"}}) {
      expect_equal("chunked/m96_c32/" + name + "/r" + text + "/nll", protocol, press, ratio);
    }
  }
  EXPECT_GT(compared_, 10);
}

TEST_P(ProtocolParity, Continuation) {
  ProtocolSettings protocol;
  protocol.protocol = Protocol::continuation;
  protocol.context_tokens = 128;
  for (const auto& [name, press] : test::kReferencePresses) {
    for (const auto& [ratio, text] : {std::pair{0.25, "0.25"}, {0.5, "0.50"}, {0.75, "0.75"}, {0.9, "0.90"}}) {
      expect_equal("continuation/" + name + "/r" + text + "/nll", protocol, press, ratio);
    }
  }
  EXPECT_GT(compared_, 10);
}

TEST_P(ProtocolParity, DecodeWithTarget) {
  ProtocolSettings protocol;
  protocol.protocol = Protocol::decode;
  protocol.context_tokens = 96;
  for (const auto& [name, press] : test::kReferencePresses) {
    for (const auto& [ratio, text] : {std::pair{0.0, "0.00"}, {0.25, "0.25"}, {0.5, "0.50"}, {0.75, "0.75"}}) {
      expect_equal("decode/" + name + "/r" + text + "/nll", protocol, press, ratio, 16, 48);
    }
  }
  EXPECT_GT(compared_, 5);
}

TEST_P(ProtocolParity, RatioZeroIsNoPressBitForBit) {
  for (const Protocol it : {Protocol::window, Protocol::chunked, Protocol::continuation, Protocol::decode}) {
    RunSettings settings;
    settings.protocol.protocol = it;
    settings.protocol.max_length = 96;
    settings.protocol.stride = 48;
    settings.protocol.chunk_size = 32;
    const RunResult full = test::run_press(model_, {text_}, parse_press("no_press"), settings);
    for (const auto& [name, press] : test::kReferencePresses) {
      EXPECT_EQ(test::run_press(model_, {text_}, parse_press(press), settings).nll, full.nll) << press;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ProtocolParity, testing::Values("llama-gqa", "neox-parallel"));

}  // namespace
}  // namespace kvpress
