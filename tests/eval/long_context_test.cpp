// Long texts: the cache never holds more than the budget and a chunk, and little else is held beside it.
#include <gtest/gtest.h>
#include <unistd.h>

#include "kvpress/eval/run.h"
#include "small_model.h"

namespace kvpress {
namespace {

TEST(LongContext, BudgetAndChunkAreAllThatIsHeld) {
  constexpr std::int64_t kTokens = 32768;
  constexpr std::int64_t kBudget = 2048;
  constexpr std::int64_t kChunk = 512;
  Model model(test::small_config(), {false, DType::f32}, 1);
  RunSettings settings;
  settings.protocol.protocol = Protocol::chunked;
  settings.protocol.max_length = kTokens;
  settings.protocol.chunk_size = kChunk;
  settings.protocol.target_size = kBudget;
  settings.protocol.positions = Positions::cache;
  settings.budget = {0.0, kBudget};
  const RunResult run = run_protocol(model, {test::random_text(kTokens)}, parse_press("streaming_llm"), settings);
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

/// Whatever the protocol: a prefill in chunks, or of all tokens at once.
class Resident : public ::testing::TestWithParam<Protocol> {};

TEST_P(Resident, LittleIsHeldBesideWeightsAndCache) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "their shadows are resident, too";
#endif
  constexpr std::size_t kMost = std::size_t{150} << 20;
  constexpr std::int64_t kTokens = 8192;
  Model model(named_shape("pythia-70m"), {false, DType::f32}, 1);
  RunSettings settings;
  settings.protocol.protocol = GetParam();
  settings.protocol.max_length = kTokens;
  settings.protocol.chunk_size = 512;
  const std::size_t before = resident_bytes();
  const RunResult result = run_protocol(model, {test::random_text(kTokens)}, parse_press("no_press"), settings);
  EXPECT_GE(result.cache_bytes, kTokens * KVCache::bytes_per_token(model.make_cache(DType::f32).shape()));
  EXPECT_LE(result.peak_rss_bytes, before + result.cache_bytes_peak + kMost);
}

INSTANTIATE_TEST_SUITE_P(LongContext, Resident, ::testing::Values(Protocol::chunked, Protocol::window),
                         [](const auto& it) { return std::string(to_string(it.param)); });

}  // namespace
}  // namespace kvpress
