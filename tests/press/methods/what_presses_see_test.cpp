// What the compressor shows presses beside the layer: which tokens are the prompt, what layers have made of a block,
// and which layers it leaves alone.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/press/compressor.h"
#include "kvpress/press/registry.h"
#include "small_model.h"

namespace kvpress {
namespace {

/// Keeps the first entries, and notes what it was shown.
class Curious : public ContextPress<Curious> {
 public:
  struct Notes {
    std::vector<BudgetView> budgets;
    std::vector<std::int64_t> layers, context_layers, output_layers, output_rows;
  };
  explicit Curious(Notes& notes, PressKind kind) : notes_(&notes), kind_(kind) {}
  PressKind kind() const override { return kind_; }
  PressNeeds needs() const override { return {.layer_outputs = true}; }
  void observe_output(const LayerOutput& output) override {
    notes_->output_layers.push_back(output.layer);
    notes_->output_rows.push_back(output.attention_output.rows);
    EXPECT_EQ(output.residual.rows, output.attention_output.rows);
  }
  void compress_context(const ContextView& context) override { notes_->context_layers = context.layers(); }
  void compress(const LayerView& layer) override {
    notes_->budgets.push_back(layer.budget);
    notes_->layers.push_back(layer.block.layer);
  }

 private:
  Notes* notes_;
  PressKind kind_;
};

class WhatPressesSee : public testing::Test {
 protected:
  static ModelConfig config() {
    ModelConfig config = test::small_config(3);
    config.layers[1].window = 20;
    return config;
  }
  WhatPressesSee() : model_(random_model(config(), {false, DType::f32}, 5)) {}

  Compressor compressor(PressKind kind) {
    press_ = std::make_unique<Curious>(notes_, kind);
    CompressionPlan plan;
    plan.prefill = plan.decoding = press_.get();
    plan.prefill_budget.ratio = plan.decoding_budget.ratio = 0.5;
    plan.compression_interval = 1;
    return Compressor(plan);
  }

  Model model_;
  Curious::Notes notes_;
  std::unique_ptr<Curious> press_;
};

TEST_F(WhatPressesSee, ThePromptAndTheLayersOutputs) {
  Compressor it = compressor(PressKind::edit);
  KVCache cache = it.make_cache(model_, DType::f32);
  const auto tokens = test::random_text(60).ids;
  it.forward(model_, std::span(tokens).first(30), cache, {});
  it.forward(model_, std::span(tokens).subspan(30, 20), cache, {});
  it.begin_decoding();
  it.forward(model_, std::span(tokens).subspan(50, 1), cache, {});
  EXPECT_EQ(notes_.layers, (std::vector<std::int64_t>{0, 2, 0, 2, 0, 2}));  // not the one with a window
  EXPECT_EQ(notes_.budgets[0].n_prompt, 30);
  EXPECT_EQ(notes_.budgets[2].n_prompt, 50);
  EXPECT_EQ(notes_.budgets[4].n_prompt, 50);
  EXPECT_EQ(notes_.budgets[4].n_seen, 51);
  EXPECT_EQ(notes_.output_layers, (std::vector<std::int64_t>{0, 1, 2, 0, 1, 2, 0, 1, 2}));
  EXPECT_EQ(notes_.output_rows, (std::vector<std::int64_t>{30, 30, 30, 20, 20, 20, 1, 1, 1}));
}

TEST_F(WhatPressesSee, LayersWithWindowsWhenAskedTo) {
  Compressor it = compressor(PressKind::edit);
  it.set_press_window_layers(true);
  KVCache cache = it.make_cache(model_, DType::f32);
  it.forward(model_, test::random_text(30).ids, cache, {});
  EXPECT_EQ(notes_.layers, (std::vector<std::int64_t>{0, 1, 2}));
}

TEST_F(WhatPressesSee, PressesOverAllLayersLeaveWindowsAlone) {
  Compressor it = compressor(PressKind::context);
  KVCache cache = it.make_cache(model_, DType::f32);
  it.forward(model_, test::random_text(30).ids, cache, {});
  EXPECT_EQ(notes_.context_layers, (std::vector<std::int64_t>{0, 2}));
  Compressor refused = compressor(PressKind::context);
  refused.set_press_window_layers(true);
  EXPECT_THROW(refused.make_cache(model_, DType::f32), UsageError);
}

/// Of a layer with a window a ratio counts the window, and the query of the last token sees no further.
TEST_F(WhatPressesSee, AQuerySeesItsWindow) {
  const NamedPress tova = parse_press("tova");
  Compressor it(tova.plan(Budget::of_ratio(0.5)));
  it.set_press_window_layers(true);
  KVCache cache = it.make_cache(model_, DType::f32);
  int n_seen = 0;
  Watcher watcher;
  watcher.scored = [&](std::int64_t layer, const Scores& scores) {
    if (layer != 1) return;
    for (const auto& row : scores) {
      ASSERT_EQ(row.size(), 30u);
      for (std::size_t j = 0; j < row.size(); ++j) {
        EXPECT_EQ(row[j] > 0, j >= 10) << j;
        ++n_seen;
      }
    }
  };
  it.set_watcher(watcher);
  it.forward(model_, test::random_text(30).ids, cache, {});
  EXPECT_EQ(n_seen, 60);
  EXPECT_EQ(cache.head(0, 0).size(), 15);
  EXPECT_EQ(cache.head(1, 0).size(), 10);
}

}  // namespace
}  // namespace kvpress
