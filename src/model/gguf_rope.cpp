#include "model/gguf_rope.h"

#include <string>
#include <vector>

#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "kvpress/ops/rope.h"
#include "model/config_json.h"

namespace kvpress {

RopeSpec gguf_rope(GgufConfig& from, std::int64_t head_dim, std::int64_t /*planned*/) {
  const std::string& path = from.path();
  const std::int64_t rotary = from.size_or("rope.dimension_count", kMaxSize, head_dim);
  if (rotary != head_dim || rotary % 2 != 0) {
    fail("{}: metadata {} is {}, but heads have {} channels", path, from.full("rope.dimension_count"), rotary,
         head_dim);
  }
  const double base = from.number("rope.freq_base").value_or(10000.0);
  if (!(base > 1)) fail("{}: metadata {} is {}, it must be above 1", path, from.full("rope.freq_base"), base);
  std::vector<float> frequencies = rope_frequencies(rotary, base);
  // A factor without a type is linear; the old name of it is no other.
  const auto newer = from.number("rope.scaling.factor");
  const auto older = from.number("rope.scale_linear");
  const std::string type = from.text("rope.scaling.type").value_or("linear");
  if (type != "linear" && type != "none") {
    fail("{}: rotary scaling '{}' is not supported; known: none, linear, llama3's rope_freqs", path, printable(type));
  }
  from.require("rope.scaling.attn_factor", 1);
  from.require("rope.scaling.alpha", 0);
  // These change nothing in these types.
  for (const char* key : {"rope.scaling.original_context_length", "rope.scaling.finetuned"}) from.number(key);
  const double factor = newer.value_or(older.value_or(1.0));
  if (!(factor > 0)) {
    fail("{}: metadata {} is {}, it must be above 0", path,
         from.full(newer ? "rope.scaling.factor" : "rope.scale_linear"), factor);
  }
  if (type == "linear") {
    for (float& frequency : frequencies) frequency = static_cast<float>(frequency / factor);
  }
  const GgufFile& file = from.file();
  if (file.find("rope_freqs.weight") == nullptr) return {frequencies, 1.0f};
  // Llama 3's stretching, already worked out per frequency.
  std::vector<float> factors(static_cast<std::size_t>(rotary / 2));
  const TensorInfo& stored = file.at("rope_freqs.weight");
  if (stored.n_elements() != rotary / 2) {
    fail("{}: tensor rope_freqs.weight has {} values, {} are needed", path, stored.n_elements(), rotary / 2);
  }
  decode_to_f32(stored, 0, factors);
  for (std::size_t i = 0; i < factors.size(); ++i) frequencies[i] /= factors[i];
  return {frequencies, 1.0f};
}

}  // namespace kvpress
