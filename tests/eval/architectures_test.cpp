// What must hold of every press on every architecture: small random models with norms of queries and keys, windows,
// sinks, soft caps, layers without RoPE, learned positions and experts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/base/threads.h"
#include "kvpress/engine/sequence.h"
#include "press/suggested.h"
#include "test_data.h"

namespace kvpress {
namespace {

using testing::HasSubstr;

constexpr const char* kModels[] = {"gemma2", "gemma3", "gpt2",  "gpt-oss", "ministral", "mixtral", "olmo2",
                                   "opt",    "phi3",   "qwen2", "qwen3",   "qwen3-moe", "smollm3"};

/// Presses with windows and chunks for a text of 64 tokens, beside all with their defaults, and the usual compositions.
std::vector<std::string> presses_to_run() {
  std::vector<std::string> presses = suggested_presses();
  for (const char* it : {"snapkv(window_size=8)",
                         "pyramidkv(window_size=8, beta=2)",
                         "simlayerkv(lazy_threshold=0.2, n_recent=20)",
                         "compactor(chunk_size=16)",
                         "adakv(snapkv(window_size=8))",
                         "critical_adakv(snapkv(window_size=8))",
                         "chunkkv(snapkv(window_size=8), chunk_length=7)",
                         "chunk(snapkv(window_size=4), chunk_length=20)",
                         "block(knorm, block_size=10)",
                         "dms(knorm, threshold=-3.5, sliding_window_size=8)",
                         "merging(snapkv(window_size=8))",
                         "finch(window_size=8)",
                         "finch(window_size=8, rerotate_keys=false)",
                         "key_rerotation(adakv(knorm))",
                         "composed(keydiff, snapkv(window_size=8))",
                         "composed(snapkv, think)",
                         "duo_attention(on_the_fly=true, sink_size=2, recent_size=8)",
                         "kvzip(layerwise=true, chunk_size=20)",
                         "kvzip(kvzip_plus_normalization=true)",
                         "kvcompose(structured=false, agg_task=mean, add_v_norm=true)",
                         "cam(expected_attention)",
                         "lagkv(lag_size=8)"}) {
    presses.emplace_back(it);
  }
  return presses;
}

struct Subject {
  explicit Subject(const std::string& of)
      : name(of),
        files(std::make_shared<ModelFiles>(open_model_files((test::data_dir() / "models" / of).string()))),
        model(files, {false, DType::f32}),
        tokens(test::References("forward/" + of + ".safetensors").ints("tokens")) {}

  /// Long enough that windows leave tokens behind; learned positions are enough for it twice.
  std::int64_t n_context() const { return model.config().learned_positions > 0 ? 64 : 80; }
  std::span<const std::int32_t> context() const { return std::span(tokens).first(n_context()); }
  std::span<const std::int32_t> rest() const { return std::span(tokens).subspan(n_context(), 16); }
  bool has_window(std::int64_t layer) const { return model.config().layer(layer).window > 0; }
  std::int64_t n_pressed() const {
    const auto& layers = model.config().layers;
    return std::count_if(layers.begin(), layers.end(), [](const LayerSpec& it) { return it.window == 0; });
  }

  std::string name;
  std::shared_ptr<ModelFiles> files;
  Model model;
  std::vector<std::int32_t> tokens;
};

/// "" where the press suits the model and needs no file.
std::string refusal(const Subject& subject, const NamedPress& press) {
  try {
    press.prepare({subject.model.config(), subject.name, nullptr});
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

/// The press with the half of the cache to keep, where it goes by that.
Sequence half(const Subject& subject, const NamedPress& press, bool window_layers = false) {
  CompressionSettings settings;
  settings.press = press;
  settings.budget = Budget::of_ratio(0.5);
  settings.press_window_layers = window_layers;
  return {subject.model, settings};
}

std::vector<std::int32_t> positions(const KVCache& cache, std::int64_t layer, std::int64_t head) {
  const auto all = cache.head(layer, head).positions();
  return {all.begin(), all.end()};
}

/// Of the layers that are compressed.
std::int64_t held(const Subject& subject, const KVCache& cache) {
  std::int64_t n = 0;
  for (std::int64_t l = 0; l < cache.shape().n_layers; ++l) {
    for (std::int64_t h = 0; h < cache.shape().n_kv_heads && !subject.has_window(l); ++h) n += cache.head(l, h).size();
  }
  return n;
}

void expect_windows_as_without_a_press(const Subject& subject, const KVCache& cache, const KVCache& full) {
  const std::int64_t d = cache.shape().head_dim;
  for (std::int64_t l = 0; l < cache.shape().n_layers; ++l) {
    for (std::int64_t h = 0; h < cache.shape().n_kv_heads && subject.has_window(l); ++h) {
      ASSERT_EQ(positions(cache, l, h), positions(full, l, h)) << "layer " << l;
      // What is above a compressed layer has the same tokens and other numbers, as have keys that were renumbered.
      if (l > 0 || cache.shape().renumber) continue;
      std::vector<float> keys(static_cast<std::size_t>(cache.head(l, h).size() * d));
      std::vector<float> expected(keys.size());
      cache.head(l, h).keys_as_float(0, cache.head(l, h).size(), keys.data());
      full.head(l, h).keys_as_float(0, full.head(l, h).size(), expected.data());
      EXPECT_EQ(keys, expected);
    }
  }
}

void expect_finite(Sequence& sequence) {
  for (const float it : sequence.logits()) ASSERT_TRUE(std::isfinite(it));
}

/// Threads would wait for each other longer than they work: the models are tiny, and runs are many.
class OnOneThread : public testing::Test {
 protected:
  OnOneThread() { set_threads(1); }
  ~OnOneThread() override { set_threads(0); }
};
using ArchitecturesAndBlocks = OnOneThread;
using ArchitecturesAndPresses = OnOneThread;
using ArchitecturesAndWindows = OnOneThread;

class Architectures : public OnOneThread, public testing::WithParamInterface<const char*> {
 protected:
  Architectures() : subject_(GetParam()), full_(half(subject_, parse_press("no_press"))) {
    full_.append(subject_.context());
  }

  /// Calls body(press) for every press that the model does not refuse.
  template <typename Body>
  void for_each_press(Body&& body) {
    int n = 0;
    for (const std::string& text : presses_to_run()) {
      SCOPED_TRACE(text);
      const NamedPress press = parse_press(text);
      if (!refusal(subject_, press).empty()) continue;
      body(press);
      if (HasFatalFailure()) return;
      ++n;
    }
    EXPECT_GT(n, 40);
  }

  Subject subject_;
  Sequence full_;
};

TEST_P(Architectures, BudgetsHoldWhereLayersHaveNoWindow) {
  const ModelConfig& config = subject_.model.config();
  const std::int64_t n_heads = config.n_kv_heads * subject_.n_pressed();
  const std::int64_t allowed = subject_.n_context() / 2 * n_heads;
  for_each_press([&](const NamedPress& press) {
    Sequence sequence = half(subject_, press);
    sequence.append(subject_.context());
    expect_windows_as_without_a_press(subject_, sequence.cache(), full_.cache());
    if (press.press->follows_budget() && press.text.find("think") == std::string::npos) {
      // Layers of a pyramid round up or down; whole chunks leave room for a part of another.
      EXPECT_LE(held(subject_, sequence.cache()), allowed + n_heads);
      EXPECT_GE(held(subject_, sequence.cache()), allowed - 20 * n_heads);
      if (press.text.find("chunk") == std::string::npos) {
        EXPECT_GE(held(subject_, sequence.cache()), allowed - n_heads);
      }
    }
    sequence.begin_decoding();
    sequence.append(subject_.rest());
    expect_finite(sequence);
  });
}

TEST_P(Architectures, ARatioOfZeroIsNoPressBitForBit) {
  Sequence full = half(subject_, parse_press("no_press"));
  full.append(subject_.context());
  full.append(subject_.rest());
  const auto expected = full.last_hidden();
  for_each_press([&](const NamedPress& press) {
    CompressionSettings settings;
    settings.press = press;
    Sequence sequence(subject_.model, settings);
    sequence.append(subject_.context());
    sequence.append(subject_.rest());
    const auto states = sequence.last_hidden();
    EXPECT_TRUE(std::equal(states.row(0), states.row(0) + states.cols, expected.row(0)));
  });
}

TEST_P(Architectures, DecodingHoldsTheTarget) {
  const ModelConfig& config = subject_.model.config();
  for_each_press([&](const NamedPress& press) {
    CompressionSettings settings;
    settings.press = press;
    settings.set_budgets(0, Budget::of_tokens(20), 4);
    Sequence sequence(subject_.model, settings);
    sequence.append(subject_.context().first(40));
    sequence.begin_decoding();
    for (std::int64_t i = 0; i < 8; ++i) sequence.append(subject_.rest().subspan(static_cast<std::size_t>(i), 1));
    expect_finite(sequence);
    if (press.press->follows_budget() && press.text.find("think") == std::string::npos) {
      EXPECT_LE(held(subject_, sequence.cache()), 21 * config.n_kv_heads * subject_.n_pressed());
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Every, Architectures, testing::ValuesIn(kModels), [](const auto& of) {
  std::string name = of.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

/// How many entries of a head differ at most when the context comes in two blocks, compressed after the second.
std::size_t difference_by_blocks(const Subject& subject, const NamedPress& press) {
  Sequence whole = half(subject, press);
  whole.append(subject.context());
  Sequence blocks = half(subject, press);
  blocks.set_compressing(false);
  blocks.append(subject.context().first(40));
  blocks.set_compressing(true);
  blocks.append(subject.context().subspan(40));
  std::size_t most = 0;
  const CacheShape& shape = whole.cache().shape();
  for (std::int64_t l = 0; l < shape.n_layers; ++l) {
    for (std::int64_t h = 0; h < shape.n_kv_heads && !subject.has_window(l); ++h) {
      const auto a = positions(whole.cache(), l, h);
      const auto b = positions(blocks.cache(), l, h);
      std::vector<std::int32_t> common;
      std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
      most = std::max(most, std::max(a.size(), b.size()) - common.size());
    }
  }
  return most;
}

TEST_F(ArchitecturesAndBlocks, AgreeWithTheWholePassWhereTheyDoForLlama) {
  const Subject llama("llama-gqa");
  std::vector<NamedPress> alike;
  for (const std::string& text : presses_to_run()) {
    const NamedPress press = parse_press(text);
    if (refusal(llama, press).empty() && difference_by_blocks(llama, press) == 0) alike.push_back(press);
  }
  EXPECT_GT(alike.size(), 30u);
  for (const char* name : kModels) {
    const Subject subject(name);
    for (const NamedPress& press : alike) {
      if (!refusal(subject, press).empty()) continue;
      // Blocks sum in another order: scores that nearly tie at the cut may change places.
      EXPECT_LE(difference_by_blocks(subject, press), 1u) << name << ", " << press.text;
    }
  }
}

/// Presses that do not suit a model, by the first words of what they say.
TEST_F(ArchitecturesAndPresses, WhatIsRefusedIsListed) {
  const std::set<std::string> no_rope = {
      "press finch: model '{}' has no RoPE, so positions cannot be renumbered",
      "press key_rerotation: model '{}' has no RoPE, so positions cannot be renumbered",
      "press duo_attention: on_the_fly=true tells heads apart by RoPE, which model '{}' does not have"};
  for (const char* name : kModels) {
    const Subject subject(name);
    std::set<std::string> refused;
    for (const std::string& text : presses_to_run()) {
      std::string why = refusal(subject, parse_press(text));
      if (why.empty() || why.find("file=FILE, ") != std::string::npos || why.find("needs file") != std::string::npos ||
          why.find("threshold is missing") != std::string::npos) {
        continue;  // of any model
      }
      why = why.substr(0, why.find(';'));
      const auto at = why.find("'" + std::string(name) + "'");
      if (at != std::string::npos) why.replace(at + 1, std::string(name).size(), "{}");
      refused.insert(why);
    }
    EXPECT_EQ(refused, subject.model.config().has_rope() ? std::set<std::string>() : no_rope) << name;
  }
}

TEST_F(ArchitecturesAndPresses, ASecondPassBeyondTheLearnedPositionsIsRefused) {
  for (const char* name : {"gpt2", "opt"}) {
    const Subject subject(name);
    for (const char* press : {"kvzip", "kvzip_plus", "kvcompose"}) {
      Sequence sequence = half(subject, parse_press(press));
      try {
        sequence.append(std::span(subject.tokens).first(70));
        ADD_FAILURE() << name << ", " << press;
      } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()),
                  fmt::format("press {}: a second pass over the text takes 140 positions, and the model has learned "
                              "128; use a shorter text, or a press without a second pass",
                              press));
      }
    }
  }
}

TEST_F(ArchitecturesAndWindows, LayersWithWindowsAreCompressedWhenAskedTo) {
  for (const char* name : {"gemma2", "gemma3", "gpt-oss", "ministral", "mistral-window", "qwen2", "smollm3"}) {
    SCOPED_TRACE(name);
    const Subject subject(name);
    int n_context = 0;
    for (const std::string& text : presses_to_run()) {
      SCOPED_TRACE(text);
      const NamedPress press = parse_press(text);
      if (!refusal(subject, press).empty()) continue;
      if (press.press->kind() == PressKind::context) {
        ++n_context;
        try {
          half(subject, press, true);
          ADD_FAILURE();
        } catch (const UsageError& error) {
          EXPECT_THAT(error.what(), HasSubstr("compresses all layers at once, but none with a window"));
        }
        continue;
      }
      Sequence sequence = half(subject, press, true);
      sequence.append(subject.context());
      const KVCache& cache = sequence.cache();
      const bool even = press.press->kind() == PressKind::scores;
      for (std::int64_t l = 0; l < cache.shape().n_layers; ++l) {
        const std::int64_t window = subject.model.config().layer(l).window;
        for (std::int64_t h = 0; h < cache.shape().n_kv_heads && even; ++h) {
          if (window > 0) {  // of which it drops what it has left behind
            EXPECT_LE(cache.head(l, h).size(), window / 2) << "layer " << l;
          } else {
            EXPECT_EQ(cache.head(l, h).size(), subject.n_context() / 2) << "layer " << l;
          }
        }
      }
      sequence.begin_decoding();
      sequence.append(subject.rest());
      expect_finite(sequence);
    }
    EXPECT_GE(n_context, 6);
  }
}

TEST_F(ArchitecturesAndWindows, ABudgetOfBytesLeavesRoomForTheWindows) {
  for (const char* name : {"gemma3", "gpt-oss", "smollm3"}) {
    const Subject subject(name);
    for (const std::size_t bytes : {std::size_t{400} << 10, std::size_t{600} << 10}) {
      CompressionSettings settings;
      settings.press = parse_press("knorm");
      settings.budget = Budget::of_bytes(bytes);
      Sequence sequence(subject.model, settings);
      std::vector<std::int32_t> tokens;
      for (int i = 0; i < 12; ++i) tokens.insert(tokens.end(), subject.tokens.begin(), subject.tokens.end());
      for (std::size_t at = 0; at < tokens.size(); at += 96) {
        sequence.append(std::span(tokens).subspan(at, 96));
        EXPECT_LE(sequence.cache_bytes(), bytes) << name;
      }
      EXPECT_GT(sequence.cache_bytes(), bytes / 2) << name;
    }
    CompressionSettings settings;
    settings.press = parse_press("knorm");
    settings.budget = Budget::of_bytes(50000);
    EXPECT_THROW(Sequence(subject.model, settings), UsageError) << name;
  }
}

}  // namespace
}  // namespace kvpress
