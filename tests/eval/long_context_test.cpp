// Long texts: the cache never holds more than the budget and a chunk, and little else is held beside it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>
#include <vector>

#include "kvpress/eval/run.h"
#include "kvpress/press/compressor.h"
#include "sanitizers.h"
#include "small_model.h"

namespace kvpress {
namespace {

TEST(LongContext, BudgetAndChunkAreAllThatIsHeld) {
  constexpr std::int64_t kTokens = 32768;
  constexpr std::int64_t kBudget = 2048;
  constexpr std::int64_t kChunk = 512;
  Model model = random_model(test::small_config(), {false, DType::f32}, 1);
  RunSettings settings;
  settings.protocol.protocol = Protocol::chunked;
  settings.protocol.max_length = kTokens;
  settings.protocol.chunk_size = kChunk;
  settings.compression.positions = Positions::cache;
  settings.compression.budget = {0.0, kBudget};
  const RunResult run = test::run_press(model, {test::random_text(kTokens)}, parse_press("streaming_llm"), settings);
  EXPECT_EQ(run.nll.size(), static_cast<std::size_t>(kTokens - 1));
  EXPECT_EQ(run.cache_tokens, kBudget);
  const CacheShape shape = model.make_cache(DType::f32).shape();
  const std::size_t a_token = KVCache::bytes_per_token(shape);
  // Keys and values of each head are held in whole pages, positions in a vector that may be twice as long as it must.
  const auto heads = static_cast<std::size_t>(shape.n_layers * shape.n_kv_heads);
  const std::size_t spare = heads * (2 * static_cast<std::size_t>(::getpagesize()) + 4 * (kBudget + kChunk));
  EXPECT_LE(run.cache_bytes_peak, a_token * (kBudget + kChunk) + spare);
  EXPECT_LE(run.cache_bytes, a_token * kBudget + spare);
}

/// The same compressor, to which every block comes whole.
class WholeBlocks : public Compressor {
 public:
  using Compressor::Compressor;
  bool wants_whole_block() const override { return true; }
};

struct Compressed {
  AlignedVector<float> states;
  std::vector<std::vector<std::int32_t>> positions;  // of every head
};

template <typename C>
Compressed compress(Model& model, const NamedPress& press, std::span<const std::int32_t> tokens, bool renumber) {
  C compressor(press.plan({0.5, {}}));
  KVCache cache = compressor.make_cache(model, DType::f32, renumber);
  const auto n = static_cast<std::int64_t>(tokens.size());
  const std::int64_t cols = model.config().hidden_size;
  Compressed result;
  result.states.resize(static_cast<std::size_t>(n * cols));
  // A second block meets heads that are compressed.
  const std::int64_t n_first = n * 3 / 5;
  for (const auto& [first, count] : {std::pair{std::int64_t{0}, n_first}, {n_first, n - n_first}}) {
    compressor.forward(model, tokens.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)), cache,
                       {result.states.data() + first * cols, count, cols});
  }
  for (std::int64_t l = 0; l < model.config().n_layers; ++l) {
    for (std::int64_t h = 0; h < model.config().n_kv_heads; ++h) {
      const auto held = cache.head(l, h).positions();
      result.positions.emplace_back(held.begin(), held.end());
    }
  }
  return result;
}

/// A layer may take a long block in parts: nobody can tell by the results.
TEST(LongContext, PartsOfABlockAreAsTheWhole) {
  Model model = random_model(test::small_config(), {false, DType::f32}, 1);
  const auto tokens = test::random_text(2800).ids;
  for (const char* name : {"no_press", "knorm", "tova", "snapkv", "observed_attention", "adakv(snapkv)", "think",
                           "expected_attention", "chunk(snapkv(window_size=8), chunk_length=300)"}) {
    for (const bool renumber : {false, true}) {
      SCOPED_TRACE(name);
      const NamedPress press = parse_press(name);
      const Compressed parts = compress<Compressor>(model, press, tokens, renumber);
      const Compressed whole = compress<WholeBlocks>(model, press, tokens, renumber);
      ASSERT_EQ(parts.positions.size(), whole.positions.size());
      for (std::size_t h = 0; h < parts.positions.size(); ++h) {
        std::vector<std::int32_t> common;
        std::set_intersection(parts.positions[h].begin(), parts.positions[h].end(), whole.positions[h].begin(),
                              whole.positions[h].end(), std::back_inserter(common));
        EXPECT_EQ(parts.positions[h].size(), whole.positions[h].size());
        EXPECT_GE(common.size() + 3, whole.positions[h].size());  // sums of other lengths round otherwise
      }
      double difference = 0;
      double size = 0;
      for (std::size_t i = 0; i < parts.states.size(); ++i) {
        difference += std::pow(double{parts.states[i]} - whole.states[i], 2);
        size += std::pow(double{whole.states[i]}, 2);
      }
      EXPECT_LT(std::sqrt(difference / size), 1e-3);
    }
  }
}

/// Whatever the protocol: a prefill in chunks, or of all tokens at once.
class Resident : public ::testing::TestWithParam<Protocol> {};

TEST_P(Resident, LittleIsHeldBesideWeightsAndCache) {
  if (test::kSanitized) GTEST_SKIP() << "the sanitizer's shadow is resident, too";
  constexpr std::size_t kMost = std::size_t{150} << 20;
  constexpr std::int64_t kTokens = 8192;
  Model model = random_model(named_shape("pythia-70m"), {false, DType::f32}, 1);
  RunSettings settings;
  settings.protocol.protocol = GetParam();
  settings.protocol.max_length = kTokens;
  settings.protocol.chunk_size = 512;
  const std::size_t before = resident_bytes();
  const RunResult result = test::run_press(model, {test::random_text(kTokens)}, parse_press("no_press"), settings);
  EXPECT_GE(result.cache_bytes, kTokens * KVCache::bytes_per_token(model.make_cache(DType::f32).shape()));
  EXPECT_LE(result.peak_rss_bytes, before + result.cache_bytes_peak + kMost);
}

INSTANTIATE_TEST_SUITE_P(LongContext, Resident, ::testing::Values(Protocol::chunked, Protocol::window),
                         [](const auto& it) { return std::string(to_string(it.param)); });

}  // namespace
}  // namespace kvpress
