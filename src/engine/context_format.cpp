#include "engine/context_format.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <limits>

#include "base/hash.h"
#include "base/json_text.h"
#include "hub/digest.h"
#include "kvpress/base/error.h"
#include "kvpress/base/version.h"

namespace kvpress::context_format {
namespace {

using Json = nlohmann::ordered_json;

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Json settings_json(const CompressionSettings& settings) {
  return {{"press", settings.press.text},
          {"names", settings.press.names == Names::registry ? "registry" : "classes"},
          {"budget", to_string(settings.budget)},
          {"compression_interval", settings.compression_interval},
          {"decoding_budget", to_string(settings.decoding_budget)},
          {"positions", to_string(settings.positions)},
          {"press_window_layers", settings.press_window_layers},
          {"seed", settings.seed}};
}

Json shape_json(const CacheShape& shape) {
  return {{"n_layers", shape.n_layers},           {"n_kv_heads", shape.n_kv_heads}, {"head_dim", shape.head_dim},
          {"type", to_string(shape.format.type)}, {"bits", shape.format.bits},      {"residual", shape.format.residual},
          {"n_carried", shape.n_carried},         {"renumber", shape.renumber}};
}

/// An object of the metadata, whose values must be there and of their kind.
class Fields {
 public:
  Fields(const nlohmann::json& json, std::string path) : json_(json), path_(std::move(path)) {
    if (!json.is_object()) complain("is not an object");
  }
  Fields object(const char* key) const { return {at(key), path_ + "." + key}; }
  std::string text(const char* key) const {
    const auto& value = at(key);
    if (!value.is_string()) complain(fmt::format("has no text as {}", key));
    return value.get<std::string>();
  }
  bool flag(const char* key) const {
    const auto& value = at(key);
    if (!value.is_boolean()) complain(fmt::format("has neither true nor false as {}", key));
    return value.get<bool>();
  }
  std::int64_t count(const char* key, std::int64_t most) const {
    const auto& value = at(key);
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > static_cast<std::uint64_t>(most)) {
      complain(fmt::format("has {} as {}; 0 to {} can be", brief(value), key, most));
    }
    return value.get<std::int64_t>();
  }
  std::uint64_t seed(const char* key) const {
    const auto& value = at(key);
    if (!value.is_number_unsigned()) complain(fmt::format("has {} as {}", brief(value), key));
    return value.get<std::uint64_t>();
  }
  double seconds(const char* key) const {
    const auto& value = at(key);
    if (!value.is_number()) complain(fmt::format("has {} as {}", brief(value), key));
    return value.get<double>();
  }
  const nlohmann::json& all() const { return json_; }

 private:
  const nlohmann::json& at(const char* key) const {
    if (!json_.contains(key)) complain(fmt::format("lacks {}", key));
    return json_.at(key);
  }
  [[noreturn]] void complain(const std::string& what) const { fail("{} {}; the file is damaged", path_, what); }

  const nlohmann::json& json_;
  std::string path_;
};

CompressionSettings read_settings(const Fields& from, const CacheFormat& format) {
  CompressionSettings settings;
  settings.press = parse_press(from.text("press"), from.text("names") == "registry" ? Names::registry : Names::classes);
  settings.budget = parse_budget(from.text("budget"), "budget");
  settings.compression_interval = from.count("compression_interval", std::numeric_limits<std::int32_t>::max());
  settings.decoding_budget = parse_budget(from.text("decoding_budget"), "decoding_budget");
  const std::string positions = from.text("positions");
  if (positions != "text" && positions != "cache") fail_usage("positions '{}' are not known", positions);
  settings.positions = positions == "cache" ? Positions::cache : Positions::text;
  settings.press_window_layers = from.flag("press_window_layers");
  settings.seed = from.seed("seed");
  settings.cache_format = format;
  return settings;
}

CacheShape read_shape(const Fields& from) {
  // More than any model has; what a count makes the program allocate stays small.
  constexpr std::int64_t kMost = 1 << 16;
  CacheShape shape;
  shape.n_layers = from.count("n_layers", kMost);
  shape.n_kv_heads = from.count("n_kv_heads", kMost);
  if (shape.n_layers * shape.n_kv_heads > 1 << 20)
    fail("{} layers of {} KV heads are too many", shape.n_layers, shape.n_kv_heads);
  shape.head_dim = from.count("head_dim", kMost);
  shape.format.type = parse_dtype(from.text("type"), "type");
  shape.format.bits = static_cast<int>(from.count("bits", 8));
  if (shape.format.bits != 0 && shape.format.bits != 4 && shape.format.bits != 8) {
    fail("{} bits are none of 0, 4 and 8", shape.format.bits);
  }
  shape.format.residual = from.count("residual", std::numeric_limits<std::int32_t>::max());
  shape.n_carried = from.count("n_carried", 1 << 10);
  shape.renumber = from.flag("renumber");
  return shape;
}

}  // namespace

std::string recent_queries_name(std::int64_t layer) { return fmt::format("recent_queries.{}", layer); }

std::string part_name(std::int64_t layer, std::int64_t kv_head, std::string_view part) {
  return fmt::format("layers.{}.heads.{}.{}", layer, kv_head, part);
}

std::string turns_of(const ModelConfig& config) {
  std::uint64_t hash = 0;
  for (const LayerSpec& it : config.layers) {
    hash = mix(hash ^ hash_bytes(text_of(std::as_bytes(std::span(it.rope.inverse_frequencies))))) + 1;
    hash = mix(hash ^ std::bit_cast<std::uint32_t>(it.rope.attention_factor)) + 1;
  }
  return fmt::format("{:016x}", hash);
}

std::string hash_of_tokens(std::span<const std::int32_t> tokens) {
  const std::string_view bytes = text_of(std::as_bytes(tokens));
  Digest digest(Digest::Kind::sha256, static_cast<std::int64_t>(bytes.size()));
  digest.update(bytes);
  return digest.hex();
}

std::string to_json(const Header& header) {
  const ContextInfo& info = header.info;
  Json json;
  json["model"] = {{"name", info.origin.model}, {"weights", info.origin.weights}, {"tokenizer", info.origin.tokenizer},
                   {"numbers", info.numbers},   {"turns", header.turns},          {"n_planned", info.origin.n_planned}};
  json["settings"] = settings_json(info.settings);
  json["cache"] = shape_json(info.shape);
  json["text"] = {{"n_tokens", info.n_tokens}, {"sha256", info.text_hash}, {"stored", info.has_text}};
  json["state"] = {{"decodes", info.decodes},
                   {"active", header.active},
                   {"n_prompt", header.n_prompt},
                   {"n_decoded", header.n_decoded},
                   {"carries_floats", header.carries_floats}};
  json["times"] = {{"prefill_sec", info.prefill_sec}, {"compress_sec", info.compress_sec}};
  json["notes"] = Json::object();
  for (const auto& [key, value] : info.origin.notes) json["notes"][key] = value;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Header from_json(const std::string& text, const std::string& path) {
  const nlohmann::json json = parse_json(text, path + ": its metadata");
  const Fields all(json, path + ": its metadata");
  Header header;
  ContextInfo& info = header.info;
  const Fields model = all.object("model");
  info.origin.model = model.text("name");
  info.origin.weights = model.text("weights");
  info.origin.tokenizer = model.text("tokenizer");
  info.numbers = model.text("numbers");
  header.turns = model.text("turns");
  constexpr std::int64_t kMostTokens = std::numeric_limits<std::int32_t>::max();
  info.origin.n_planned = model.count("n_planned", kMostTokens);
  info.shape = read_shape(all.object("cache"));
  info.settings = read_settings(all.object("settings"), info.shape.format);
  const Fields of_text = all.object("text");
  info.n_tokens = of_text.count("n_tokens", kMostTokens);
  info.text_hash = of_text.text("sha256");
  info.has_text = of_text.flag("stored");
  const Fields state = all.object("state");
  info.decodes = state.flag("decodes");
  header.active = state.flag("active");
  header.n_prompt = state.count("n_prompt", kMostTokens);
  header.n_decoded = state.count("n_decoded", kMostTokens);
  header.carries_floats = state.flag("carries_floats");
  const Fields times = all.object("times");
  info.prefill_sec = times.seconds("prefill_sec");
  info.compress_sec = times.seconds("compress_sec");
  const Fields notes = all.object("notes");
  for (const auto& it : notes.all().items()) info.origin.notes[it.key()] = notes.text(it.key().c_str());
  return header;
}

void TensorHash::add(std::span<const std::byte> block) { hash_ = mix(hash_ ^ hash_bytes(text_of(block))) + 1; }

std::uint64_t hash_of(std::span<const std::byte> tensor) {
  TensorHash hash;
  for (std::size_t at = 0; at < tensor.size(); at += TensorHash::kBlock) {
    hash.add(tensor.subspan(at, std::min(TensorHash::kBlock, tensor.size() - at)));
  }
  return hash.value();
}

std::uint64_t checksum(std::string_view header, std::span<const std::uint64_t> tensors) {
  std::uint64_t hash = hash_bytes(header);
  for (const std::uint64_t it : tensors) hash = mix(hash ^ it) + 1;
  return hash;
}

}  // namespace kvpress::context_format
