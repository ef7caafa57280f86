// DuoAttention (https://arxiv.org/abs/2410.10819): some heads retrieve from anywhere and keep everything; the others
// look at the first and the most recent tokens only (streaming heads), and keep only those. Which head is which is a
// trained pattern, or guessed from the means of queries and keys (press/duo_scores.h).
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json_text.h"
#include "kvpress/base/error.h"
#include "kvpress/model/model.h"
#include "kvpress/press/kit/trained_file.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/duo_scores.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

/// Of every head of every layer, how much it needs the whole text; and what a streaming head keeps.
struct Pattern {
  std::vector<float> scores;  // [layers * KV heads]
  std::int64_t sink_size = 128;
  std::int64_t recent_size = 256;
};

/// A published pattern: full_attention_heads.tsv, a line a layer and a column a KV head, with config.json beside it.
Pattern read_published(const fs::path& table, const PressSetup& setup) {
  const ModelConfig& config = setup.config;
  Pattern pattern;
  std::istringstream lines(read_file(table));
  std::int64_t n_lines = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    ++n_lines;
    std::istringstream fields(line);
    std::int64_t n_fields = 0;
    for (std::string field; fields >> field; ++n_fields) {
      char* end = nullptr;
      const float value = std::strtof(field.c_str(), &end);
      if (*end != '\0' || !std::isfinite(value)) {
        fail_usage("duo_attention: {}: line {}: '{}' is not a number", table.string(), n_lines, field);
      }
      pattern.scores.push_back(value);
    }
    if (n_fields != config.n_kv_heads) {
      fail_usage("duo_attention: {}: line {} has {} heads; the model needs {} lines of {}; {}", table.string(), n_lines,
                 n_fields, config.n_layers, config.n_kv_heads, how_to_calibrate("duo_attention", setup.model_name));
    }
  }
  if (n_lines != config.n_layers) {
    fail_usage("duo_attention: {} has {} lines; the model needs {} lines of {} heads; {}", table.string(), n_lines,
               config.n_layers, config.n_kv_heads, how_to_calibrate("duo_attention", setup.model_name));
  }
  const fs::path settings = table.parent_path() / "config.json";
  const auto json = try_parse_json(read_file(settings)).value_or(nlohmann::json());
  for (const auto& [key, value] :
       {std::pair{"sink_size", &pattern.sink_size}, std::pair{"recent_size", &pattern.recent_size}}) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_number_unsigned()) {
      fail_usage("duo_attention: {}: {} is missing or not a whole number", settings.string(), key);
    }
    *value = json[key].get<std::int64_t>();
  }
  return pattern;
}

/// What "kvpress calibrate duo_attention" writes.
Pattern read_calibrated(const std::string& path, const PressSetup& setup) {
  const TrainedFile file("press duo_attention", "file", "duo_attention", path, setup);
  Pattern pattern;
  pattern.scores = file.tensor("head_scores", {setup.config.n_layers, setup.config.n_kv_heads});
  for (const auto& [name, value] :
       {std::pair{"sink_size", &pattern.sink_size}, std::pair{"recent_size", &pattern.recent_size}}) {
    if (!file.has(name)) continue;
    const float size = file.tensor(name, {1}).front();
    if (size < 0 || size != std::floor(size)) file.complain(fmt::format("{} is {}, not a whole number", name, size));
    *value = static_cast<std::int64_t>(size);
  }
  return pattern;
}

Pattern read_pattern(const std::string& path, const PressSetup& setup) {
  constexpr const char* kTable = "full_attention_heads.tsv";
  std::error_code error;
  if (fs::exists(fs::path(path) / kTable, error)) return read_published(fs::path(path) / kTable, setup);
  if (path.ends_with(".tsv") && fs::exists(path, error)) return read_published(path, setup);
  return read_calibrated(path, setup);
}

class DuoAttention : public Selector<DuoAttention> {
 public:
  /// On the fly no layer can be compressed before the last one has been seen.
  PressKind kind() const override { return on_the_fly_ ? PressKind::context : PressKind::selection; }

  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.optional_real("head_compression_ratio", head_compression_ratio_, 0, 1,
                          "share of the heads that stream; none: the run's compression ratio");
    visitor.file("file", file_,
                 "a pattern: a safetensors file with head_scores [layers, KV heads], or a folder with "
                 "full_attention_heads.tsv and config.json");
    visitor.optional_integer("sink_size", sink_size_, 0, "first tokens that a streaming head keeps; none: the file's");
    visitor.optional_integer("recent_size", recent_size_, 0,
                             "newest tokens that a streaming head keeps; none: the file's");
    visitor.flag("on_the_fly", on_the_fly_,
                 "compute the pattern from the text itself, without a file (128 and 256 tokens)");
  }
  PressNeeds needs() const override { return {.every_block = on_the_fly_}; }
  bool follows_budget() const override { return false; }

  void prepare(const PressSetup& setup) override {
    Pattern pattern;
    if (!on_the_fly_) {
      pattern = read_pattern(file_, setup);
    } else if (!setup.config.has_rope()) {
      fail_usage(
          "press duo_attention: on_the_fly=true tells heads apart by RoPE, which model '{}' does not have; use "
          "file=FILE",
          setup.model_name);
    } else if (!file_.empty()) {
      fail_usage("duo_attention: file={} and on_the_fly=true exclude each other; leave one out", file_);
    }
    for (float& score : pattern.scores) score = std::clamp(score, 0.0f, 1.0f);
    if (sink_size_) pattern.sink_size = *sink_size_;
    if (recent_size_) pattern.recent_size = *recent_size_;
    pattern_ = std::make_shared<const Pattern>(std::move(pattern));
  }

  void observe(const LayerView& layer) override {
    if (on_the_fly_) seen_.add(layer);
  }

  void visit_state(StateVisitor& visitor) override { seen_.visit_state(visitor); }

  Kept select(const LayerView& layer) override {
    const auto streams = streaming(pattern().scores, layer.budget, layer.n_kv_heads());
    std::vector<const KVHead*> heads;
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) heads.push_back(&layer.head(h));
    return kept(heads, layer.block.layer, streams, layer.budget.n_seen);
  }

  void compress(const LayerView& layer) override {
    if (!on_the_fly_) Press::compress(layer);
  }

  void compress_context(const ContextView& context) override {
    if (!on_the_fly_) return;
    const CacheShape& shape = context.cache.shape();
    const auto streams = streaming(seen_.scores(context.model.config()), context.budget, shape.n_kv_heads);
    for (const std::int64_t l : context.layers()) {
      std::vector<const KVHead*> heads;
      for (std::int64_t h = 0; h < shape.n_kv_heads; ++h) heads.push_back(&context.cache.head(l, h));
      context.keep(l, kept(heads, l, streams, context.budget.n_seen));
    }
  }

 private:
  const Pattern& pattern() const {
    if (pattern_ == nullptr) fail("duo_attention: its pattern has not been read");
    return *pattern_;
  }

  /// [layers * KV heads]: whether a head streams. Of the layers that are compressed those of the lowest scores do; of
  /// equal ones the first.
  std::vector<bool> streaming(const std::vector<float>& scores, const BudgetView& budget, std::int64_t n_heads) const {
    const double share = head_compression_ratio_.value_or(budget.ratio);
    std::vector<std::size_t> order;
    for (const std::int64_t l : budget.layers) {
      for (std::int64_t h = 0; h < n_heads; ++h) order.push_back(static_cast<std::size_t>(l * n_heads + h));
    }
    if (budget.layers.empty()) {
      order.resize(scores.size());
      std::iota(order.begin(), order.end(), 0);
    }
    // To nearest, halves to even, as Python rounds.
    const auto n = static_cast<std::size_t>(std::nearbyint(static_cast<double>(order.size()) * share));
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] < scores[b]; });
    std::vector<bool> streams(scores.size(), false);
    for (std::size_t i = 0; i < n; ++i) streams[order[i]] = true;
    return streams;
  }

  Kept kept(const std::vector<const KVHead*>& heads, std::int64_t layer, const std::vector<bool>& streams,
            std::int64_t n_seen) const {
    Kept kept(heads.size());
    bool any = false;
    for (std::size_t h = 0; h < heads.size(); ++h) {
      const bool all = !streams[static_cast<std::size_t>(layer) * heads.size() + h];
      const auto positions = heads[h]->positions();
      for (std::size_t j = 0; j < positions.size(); ++j) {
        if (all || positions[j] < pattern().sink_size || positions[j] >= n_seen - pattern().recent_size) {
          kept[h].push_back(static_cast<std::int32_t>(j));
        }
      }
      any = any || kept[h].size() < positions.size();
    }
    return any ? kept : Kept{};
  }

  std::optional<double> head_compression_ratio_;
  std::string file_;
  std::optional<std::int64_t> sink_size_;
  std::optional<std::int64_t> recent_size_;
  bool on_the_fly_ = false;
  std::shared_ptr<const Pattern> pattern_;
  DuoScores seen_;
};

}  // namespace

const PressEntry kDuoAttentionPress = {
    "duo_attention",
    "some heads keep all tokens, the others keep the first and the most recent tokens",
    "https://arxiv.org/abs/2410.10819",
    "positions, a published pattern or one made by kvpress calibrate duo_attention; on the fly: queries and keys",
    make_press<DuoAttention>,
    "Few heads retrieve distant content; the others need only the first tokens and those nearby, on any text. So heads "
    "are compressed, not tokens: a streaming head keeps sinks and recent tokens, the others keep all tokens.",
    "the head_compression_ratio × heads with the lowest scores keep positions < sink_size and the newest recent_size",
    "For long texts, where a streaming head saves almost all of its share; on short texts it saves little."};

}  // namespace kvpress
