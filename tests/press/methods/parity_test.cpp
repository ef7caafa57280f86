// Presses against kvpress 0.5.5, case by case: the tokens that each head keeps, and the loss of what comes after them.
// tools/references/parity.py says how the cases are made; the real model's are skipped where it is not there.
// KVPRESS_PARITY_GROUP, when set, names the one group to check.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/file.h"
#include "kvpress/model/model.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/registry.h"
#include "kvpress/tokenizer/tokenizer.h"
#include "ops/output_loss.h"
#include "test_data.h"

namespace kvpress {
namespace {

struct Subject {
  std::shared_ptr<ModelFiles> files;
  Model model;
  std::vector<std::int32_t> tokens;
  std::unique_ptr<Tokenizer> tokenizer;
};

Subject load(const std::string& name) {
  const bool real = name == "smollm2";
  const std::string path = real ? std::getenv("KVPRESS_SMOLLM2") : (test::data_dir() / "models" / name).string();
  auto files = std::make_shared<ModelFiles>(open_model_files(path));
  Subject subject{files, Model(files, {false, DType::f32}), {}, nullptr};
  if (real) {
    const auto reference = nlohmann::json::parse(read_file(test::data_dir() / "smollm2" / "references.json"));
    subject.tokens = reference["ids"].get<std::vector<std::int32_t>>();
    subject.tokens.resize(512 + 256);
    subject.tokenizer = std::make_unique<Tokenizer>(Tokenizer::from_gguf(*files->gguf));
  } else {
    subject.tokens = test::References("forward/" + name + ".safetensors").ints("tokens");
  }
  return subject;
}

std::string with_data_folder(std::string press) {
  const std::string mark = "{data}";
  for (auto at = press.find(mark); at != std::string::npos; at = press.find(mark)) {
    press.replace(at, mark.size(), test::data_dir().string());
  }
  return press;
}

std::vector<std::uint8_t> from_base64(const std::string& text) {
  static const std::string kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<std::uint8_t> bytes;
  std::uint32_t bits = 0;
  int n_bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    bits = bits << 6 | static_cast<std::uint32_t>(kDigits.find(c));
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    bytes.push_back(static_cast<std::uint8_t>(bits >> n_bits & 0xff));
  }
  return bytes;
}

/// The positions whose bits are set in row `head` of a mask of heads x n.
std::vector<std::int32_t> set_bits(const std::vector<std::uint8_t>& mask, std::size_t head, std::size_t n) {
  std::vector<std::int32_t> positions;
  const std::size_t row = head * ((n + 7) / 8);
  for (std::size_t i = 0; i < n; ++i) {
    if ((mask[row + i / 8] >> (i % 8) & 1) != 0) positions.push_back(static_cast<std::int32_t>(i));
  }
  return positions;
}

/// Of layers without a window, as the reference.
void expect_kept(const ModelConfig& config, const KVCache& cache, const nlohmann::json& expected, std::size_t context) {
  std::int64_t held = 0;
  for (std::int64_t l = 0; l < cache.shape().n_layers; ++l) {
    if (config.layer(l).window > 0) continue;
    for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) held += cache.head(l, h).size();
  }
  EXPECT_EQ(held, expected["held"].get<std::int64_t>());
  const auto of_every_layer = expected["slack"].get<std::size_t>();
  for (const auto& [layer, bits] : expected["kept"].items()) {
    const std::size_t slack = layer == "0" ? expected.value("first_slack", of_every_layer) : of_every_layer;
    const auto mask = from_base64(bits.get<std::string>());
    for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) {
      const auto ours = cache.head(std::stoll(layer), h).positions();
      const auto theirs = set_bits(mask, static_cast<std::size_t>(h), context);
      std::vector<std::int32_t> common;
      std::set_intersection(ours.begin(), ours.end(), theirs.begin(), theirs.end(), std::back_inserter(common));
      EXPECT_LE(std::max(ours.size(), theirs.size()) - common.size(), slack) << "layer " << layer << ", head " << h;
    }
  }
}

double mean_nll_of_rest(Model& model, Compressor& compressor, KVCache& cache, std::span<const std::int32_t> tokens,
                        std::size_t context, AlignedVector<float>& states) {
  const std::int64_t cols = model.config().hidden_size;
  const auto n_rest = static_cast<std::int64_t>(tokens.size() - context);
  compressor.begin_decoding();
  compressor.forward(model, tokens.subspan(context, static_cast<std::size_t>(n_rest - 1)), cache,
                     {states.data() + cols, n_rest - 1, cols});
  std::vector<float> nll(static_cast<std::size_t>(n_rest));
  output_cross_entropy({states.data(), n_rest, cols}, model.output(), tokens.subspan(context), nll);
  return std::accumulate(nll.begin(), nll.end(), 0.0) / static_cast<double>(n_rest);
}

void check(const std::string& name) {
  Subject subject = load(name);
  int compared = 0;
  const char* only = std::getenv("KVPRESS_PARITY_GROUP");
  for (const auto& file : std::filesystem::directory_iterator(test::data_dir() / "parity")) {
    if (only != nullptr && file.path().stem() != only) continue;
    const auto group = nlohmann::json::parse(read_file(file.path()));
    for (const auto& it : group["cases"]) {
      if (it["model"] != name) continue;
      SCOPED_TRACE(it["press"].get<std::string>() + " at " + std::to_string(it["ratio"].get<double>()));
      const auto context = group["context"][name].get<std::size_t>();
      const NamedPress press = parse_press(with_data_folder(it["press"].get<std::string>()));
      press.prepare({subject.model.config(), name, subject.tokenizer.get()});
      Compressor compressor(press.plan({it["ratio"].get<double>(), {}}));
      KVCache cache = compressor.make_cache(subject.model, DType::f32);
      const std::int64_t cols = subject.model.config().hidden_size;
      AlignedVector<float> states((subject.tokens.size() - context) * static_cast<std::size_t>(cols));
      compressor.forward(subject.model, std::span(subject.tokens).first(context), cache, {states.data(), 1, cols});
      if (it.contains("kept")) expect_kept(subject.model.config(), cache, it, context);
      const double nll = mean_nll_of_rest(subject.model, compressor, cache, subject.tokens, context, states);
      // Of the perplexity, relatively: the difference of its logarithms.
      EXPECT_NEAR(nll, it["mean_nll"].get<double>(), 1e-3);
      ++compared;
    }
  }
  EXPECT_GT(compared, 0);
}

TEST(Parity, SmallLlama) { check("llama-gqa"); }
TEST(Parity, SmallNeox) { check("neox-parallel"); }
/// A RoPE with an attention factor.
TEST(Parity, SmallLlamaWithYarn) { check("llama-yarn"); }
TEST(Parity, SmallMistral) { check("parity-mistral"); }
TEST(Parity, SmallPhi3) { check("parity-phi3"); }
TEST(Parity, SmallQwen2) { check("parity-qwen2"); }
TEST(Parity, SmallQwen3) { check("parity-qwen3"); }
TEST(Parity, SmallGemma3) { check("parity-gemma3"); }
TEST(SmolLM2Parity, RealModel) {
  if (std::getenv("KVPRESS_SMOLLM2") == nullptr) GTEST_SKIP() << "KVPRESS_SMOLLM2 does not name the model's GGUF";
  check("smollm2");
}

}  // namespace
}  // namespace kvpress
