// Trained parts against those that kvpress's own code (and, for Q-Filters, the paper's definition in double precision)
// makes from the same tokens: tools/references/parity_trained.py.
#include "calibrate/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "engine/random_model.h"
#include "engine/shapes.h"
#include "kvpress/base/error.h"
#include "test_data.h"

namespace kvpress {
namespace {

/// The first and the second half of the context, two texts.
std::vector<TokenizedText> halves(const std::vector<std::int32_t>& tokens, std::size_t context) {
  std::vector<TokenizedText> texts(2);
  const auto begin = tokens.begin();
  const auto half = static_cast<std::ptrdiff_t>(context / 2);
  texts[0].ids.assign(begin, begin + half);
  texts[1].ids.assign(begin + half, begin + static_cast<std::ptrdiff_t>(context));
  for (TokenizedText& text : texts) text.n_bytes.assign(text.ids.size(), 1);
  return texts;
}

/// With `config`, of tensors that begin with a row for each layer only those of layers without a window.
void expect_near(const NamedTensor& ours, const std::string& file, double tolerance,
                 const ModelConfig* config = nullptr) {
  const test::References expected(file);
  SCOPED_TRACE(file + " " + ours.name);
  EXPECT_EQ(ours.shape, expected.shape(ours.name));
  const auto values = expected.floats(ours.name);
  ASSERT_EQ(ours.values.size(), values.size());
  double scale = 0;
  for (const float value : values) scale = std::max(scale, static_cast<double>(std::abs(value)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t per_layer = values.size() / static_cast<std::size_t>(ours.shape[0]);
    if (config != nullptr && config->layer(static_cast<std::int64_t>(i / per_layer)).window > 0) continue;
    ASSERT_NEAR(ours.values[i], values[i], tolerance * scale) << i;
  }
}

void check_small(const std::string& name) {
  auto files = std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / name).string()));
  Model model(files, {false, DType::f32});
  const auto texts = halves(test::References("forward/" + name + ".safetensors").ints("tokens"), 144);
  std::int64_t told = 0;
  Calibration calibration{model, texts, DType::f32};
  calibration.on_progress = [&](std::int64_t n) { told += n; };
  const std::string folder = "trained/" + name + "/";
  // float32 activations go in: 1e-4 of the largest value covers what two orders of summing leave of them.
  expect_near(calibrate_qfilter(calibration)[0], folder + "qfilter.safetensors", 1e-4);
  EXPECT_EQ(told, 144);
  const auto statistics = calibrate_expected_attention(calibration);
  expect_near(statistics[0], folder + "expected_attention.safetensors", 1e-4);
  expect_near(statistics[1], folder + "expected_attention.safetensors", 1e-4);
  // kvpress turns queries and keys of layers with windows by the RoPE of the others, and does not use those scores.
  expect_near(calibrate_duo_attention(calibration)[0], folder + "duo_attention.safetensors", 1e-4, &model.config());
  // Without a tokenizer the text is repeated without being asked for, as in the reference.
  const auto linear = calibrate_kvzap_linear(calibration);
  ASSERT_EQ(std::ssize(linear), 2 * model.config().n_layers);
  for (const NamedTensor& tensor : linear) expect_near(tensor, folder + "kvzap_fitted.safetensors", 1e-3);
}

TEST(Calibrate, SmallLlama) { check_small("llama-gqa"); }
TEST(Calibrate, SmallNeox) { check_small("neox-parallel"); }
TEST(Calibrate, SmallMistral) { check_small("parity-mistral"); }
TEST(Calibrate, SmallPhi3) { check_small("parity-phi3"); }
TEST(Calibrate, SmallQwen2) { check_small("parity-qwen2"); }
TEST(Calibrate, SmallQwen3) { check_small("parity-qwen3"); }
TEST(Calibrate, SmallGemma3) { check_small("parity-gemma3"); }

TEST(SmolLM2Calibrate, RealModel) {
  const char* path = std::getenv("KVPRESS_SMOLLM2");
  if (path == nullptr) GTEST_SKIP() << "KVPRESS_SMOLLM2 does not name the model's GGUF";
  Model model(std::make_shared<ModelFiles>(open_model_files(path)), {false, DType::f32});
  const auto reference = nlohmann::json::parse(read_file(test::data_dir() / "smollm2" / "references.json"));
  const auto texts = halves(reference["ids"].get<std::vector<std::int32_t>>(), 512);
  const Calibration calibration{model, texts, DType::f32};
  expect_near(calibrate_qfilter(calibration)[0], "trained/smollm2/qfilter.safetensors", 1e-3);
  expect_near(calibrate_duo_attention(calibration)[0], "trained/smollm2/duo_attention.safetensors", 1e-3);
}

TEST(Calibrate, ValuesThatAreNotFiniteAreNotWritten) {
  const CalibrationMethod broken{
      "broken", "", "", [](const Calibration&) {
        return std::vector<NamedTensor>{{"good", {1}, {1}}, {"bad", {2}, {1, std::numeric_limits<float>::infinity()}}};
      }};
  auto files = std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / "llama-gqa").string()));
  const Model model(files, {false, DType::f32});
  try {
    calibrated(broken, {model, {}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("calibrate broken: value 1 of bad is not finite"));
  }
}

TEST(Calibrate, TextsAreCutAndShortRestsDropped) {
  std::vector<TokenizedText> texts(3);
  for (const auto& [text, n] : {std::pair{0, 250}, std::pair{1, 30}, std::pair{2, 149}}) {
    for (int i = 0; i < n; ++i) texts[static_cast<std::size_t>(text)].ids.push_back(i);
    texts[static_cast<std::size_t>(text)].n_bytes.assign(static_cast<std::size_t>(n), 1);
  }
  const auto pieces = cut_into_pieces(texts, 100);
  std::vector<std::size_t> lengths;
  for (const TokenizedText& it : pieces) lengths.push_back(it.ids.size());
  EXPECT_THAT(lengths, testing::ElementsAre(100, 100, 50, 30, 100));
  EXPECT_EQ(pieces[2].ids.front(), 200);
}

TEST(Calibrate, TooLittleTextAndUnknownMethodsAreRefused) {
  ModelConfig config = named_shape("pythia-70m");
  config.set_layers(1, config.layer(0));
  config.vocab_size = 64;
  Model model = random_model(config, {false, DType::f32}, 1);
  std::vector<TokenizedText> texts(1);
  texts[0].ids = {1, 2, 3, 4, 5};
  EXPECT_THROW(calibrate_expected_attention({model, texts}), UsageError);
  EXPECT_THROW(calibration_method("qfliter"), UsageError);
  EXPECT_EQ(calibration_method("qfilter").run, &calibrate_qfilter);
}

}  // namespace
}  // namespace kvpress
