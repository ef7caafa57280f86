// Key rerotation: whatever the press inside keeps is turned to positions 0, 1, ..., and what comes next goes on from
// there (the sink cache of StreamingLLM, https://arxiv.org/abs/2309.17453, section 3.2; FINCH does the same). The
// turning itself is the cache's: CacheShape::renumber.
#include "kvpress/base/error.h"
#include "kvpress/press/kit/wrapper.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"

namespace kvpress {
namespace {

/// Answers as the press inside does, and so fits wherever that one fits.
class KeyRerotation : public Wrapper<Press> {
 public:
  std::unique_ptr<Press> clone() const override { return std::make_unique<KeyRerotation>(*this); }
  PressKind kind() const override { return press_ ? press_->kind() : PressKind::edit; }

  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.press("press", press_, Inside::any, "compresses the cache");
  }
  PressNeeds needs() const override {
    PressNeeds needs = press_->needs();
    needs.rebuilds_positions = true;
    return needs;
  }
  void prepare(const PressSetup& setup) override {
    if (!setup.config.has_rope()) {
      fail_usage(
          "press key_rerotation: model '{}' has no RoPE, so positions cannot be renumbered; use the inner press alone",
          setup.model_name);
    }
    press_->prepare(setup);
  }
  void score(const LayerView& layer, Scores& scores) override { press_->score(layer, scores); }
  Kept select(const LayerView& layer) override { return press_->select(layer); }
  void compress(const LayerView& layer) override { press_->compress(layer); }
};

}  // namespace

const PressEntry kKeyRerotationPress = {
    "key_rerotation",
    "renumbers the positions of the kept entries without gaps",
    "https://arxiv.org/abs/2309.17453",
    "needs of the inner press",
    make_press<KeyRerotation>,
    "A model knows only distances up to its training length. Kept keys are rotated to positions 0, 1, 2, ... and new "
    "tokens follow them, so that no distance exceeds the size of the cache, whatever the text length.",
    "k_j := RoPE(j - p_j) k_j for the entry at slot j with position p_j; the next token's position is the number of "
    "entries",
    "For texts longer than the trained context, with a fixed budget (a number of tokens or bytes)."};

}  // namespace kvpress
