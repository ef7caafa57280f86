// What the compressor shows presses beside the layer: which tokens are the prompt, what layers have made of a block,
// and which layers it leaves alone.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/press/compressor.h"
#include "small_model.h"

namespace kvpress {
namespace {

/// Keeps the first entries, and notes what it was shown.
class Curious : public ContextPress<Curious> {
 public:
  struct Notes {
    std::vector<BudgetView> budgets;
    std::vector<std::int64_t> layers, output_layers, output_rows;
  };
  explicit Curious(Notes& notes, PressKind kind) : notes_(&notes), kind_(kind) {}
  PressKind kind() const override { return kind_; }
  PressNeeds needs() const override { return {.layer_outputs = true}; }
  void observe_output(const LayerOutput& output) override {
    notes_->output_layers.push_back(output.layer);
    notes_->output_rows.push_back(output.attention_output.rows);
    EXPECT_EQ(output.residual.rows, output.attention_output.rows);
  }
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

TEST_F(WhatPressesSee, PressesOverAllLayersRefuseWindows) {
  Compressor it = compressor(PressKind::context);
  EXPECT_THROW(it.make_cache(model_, DType::f32), UsageError);
}

}  // namespace
}  // namespace kvpress
