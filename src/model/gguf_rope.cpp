#include "model/gguf_rope.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "kvpress/ops/rope.h"
#include "model/config_json.h"
#include "model/rope_scaling.h"

namespace kvpress {
namespace {

/// A number that must be above 0, as far as it is there.
std::optional<double> positive(GgufConfig& from, std::string_view key) {
  const auto value = from.number(key);
  if (value && !(*value > 0)) {
    fail("{}: metadata {} is {}, it must be above 0", from.path(), from.full(key), *value);
  }
  return value;
}

/// What a tensor divides each frequency by.
void divide_by_tensor(std::vector<float>& frequencies, const GgufFile& file, const std::string& name) {
  const TensorInfo& stored = file.at(name);
  const auto n = static_cast<std::int64_t>(frequencies.size());
  if (stored.n_elements() != n) {
    fail("{}: tensor {} has {} values, {} are needed", file.path(), name, stored.n_elements(), n);
  }
  std::vector<float> factors(frequencies.size());
  decode_to_f32(stored, 0, factors);
  for (std::size_t i = 0; i < factors.size(); ++i) {
    if (!(factors[i] > 0)) fail("{}: tensor {} holds {}, its values must be above 0", file.path(), name, factors[i]);
    frequencies[i] /= factors[i];
  }
}

/// Llama 3's stretching, already worked out per frequency, or LongRoPE's for texts up to the original context and
/// beyond.
void divide_by_tensors(std::vector<float>& frequencies, const GgufFile& file, bool is_long) {
  const std::string chosen = is_long ? "rope_factors_long.weight" : "rope_factors_short.weight";
  const std::string other = is_long ? "rope_factors_short.weight" : "rope_factors_long.weight";
  if (file.find("rope_freqs.weight") != nullptr) {
    divide_by_tensor(frequencies, file, "rope_freqs.weight");
  } else if (file.find(chosen) != nullptr || file.find(other) != nullptr) {
    divide_by_tensor(frequencies, file, chosen);
  }
}

}  // namespace

bool is_rope_tensor(std::string_view name) {
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" || name == "rope_factors_short.weight";
}

RopeSpec gguf_rope(GgufConfig& from, std::int64_t head_dim, std::int64_t planned, bool yarn_truncates) {
  const std::string& path = from.path();
  const std::int64_t rotary = from.size_or("rope.dimension_count", kMaxSize, head_dim);
  if (rotary > head_dim || rotary % 2 != 0) {
    fail("{}: metadata {} is {}, it must be even and at most the {} channels of a head", path,
         from.full("rope.dimension_count"), rotary, head_dim);
  }
  const double base = from.number("rope.freq_base").value_or(10000.0);
  if (!(base > 1)) fail("{}: metadata {} is {}, it must be above 1", path, from.full("rope.freq_base"), base);

  // A factor without a type is linear; the old name of it is no other. It divides in every type but "none".
  const auto newer = positive(from, "rope.scaling.factor");
  const auto older = positive(from, "rope.scale_linear");
  const std::string type = from.text("rope.scaling.type").value_or("linear");
  if (type != "none" && type != "linear" && type != "yarn" && type != "longrope") {
    fail("{}: metadata {} is '{}', it must be none, linear, yarn or longrope", path, from.full("rope.scaling.type"),
         printable(type));
  }
  const double factor = type == "none" ? 1.0 : newer.value_or(older.value_or(1.0));
  const double trained = from.number("context_length").value_or(0);
  const double original = positive(from, "rope.scaling.original_context_length").value_or(trained);
  const double attention = positive(from, "rope.scaling.attn_factor").value_or(1.0);
  // How much of YaRN there is; negative: as much as the type asks for.
  const double asked = from.number("rope.scaling.yarn_ext_factor").value_or(-1.0);
  const double mix = asked >= 0 ? asked : type == "yarn" ? 1.0 : 0.0;
  const double fast = positive(from, "rope.scaling.yarn_beta_fast").value_or(32.0);
  const double slow = positive(from, "rope.scaling.yarn_beta_slow").value_or(1.0);
  const double log_multiplier = from.number("rope.scaling.yarn_log_multiplier").value_or(0.0);
  from.require("rope.scaling.yarn_attn_factor", 1);  // what it does has changed from version to version of llama.cpp
  from.require("rope.scaling.alpha", 0);
  from.number("rope.scaling.finetuned");  // changes nothing

  RopeSpec rope{rope_frequencies(rotary, base), static_cast<float>(attention)};
  divide_by_tensors(rope.inverse_frequencies, from.file(), static_cast<double>(planned) > original);
  if (mix == 0) {
    for (float& frequency : rope.inverse_frequencies) frequency = static_cast<float>(frequency / factor);
    return rope;
  }
  if (!(original > 0)) fail("{}: metadata {} is missing", path, from.full("rope.scaling.original_context_length"));
  const YarnRange range = yarn_range(rotary, base, original, fast, slow, yarn_truncates);
  scale_by_yarn(rope.inverse_frequencies, factor, range.first, std::max(0.001, range.last - range.first), mix);
  double of_yarn = yarn_attention_factor(factor);
  if (log_multiplier != 0) of_yarn /= yarn_attention_factor(factor, log_multiplier);
  rope.attention_factor = static_cast<float>(attention * of_yarn);
  return rope;
}

}  // namespace kvpress
