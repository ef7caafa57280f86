// config.json by keys, with errors that name the file and the key.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kvpress/model/config.h"

namespace kvpress {

/// Limits that keep every product of sizes within 64 bits; no model comes near them.
inline constexpr std::int64_t kMaxSize = std::int64_t{1} << 23;
inline constexpr std::int64_t kMaxLayers = 4096;
inline constexpr std::int64_t kMaxVocabulary = std::int64_t{1} << 31;

/// What rotary positions are where a configuration does not say.
struct RopeDefaults {
  std::int64_t max_positions = 0;
  double partial = 1.0;  ///< share of a head's channels
  double base = 10000.0;
  std::string base_key = "rope_theta";  ///< where the base stands outside of rope_parameters
  /// Whether a scaling that names no type of layer is meant.
  bool scaled = true;
};

/// An object and which of its keys were read. Copies share both.
class JsonConfig {
 public:
  /// `planned`: as read_config() has it.
  JsonConfig(nlohmann::json json, std::string path, std::int64_t planned = 0)
      : JsonConfig(std::move(json), std::move(path), "", planned) {}

  /// Absent and null read the same, but for is_null().
  bool has(const std::string& key) const { return find(key) != nullptr; }
  bool is_null(const std::string& key) const;
  /// A whole number from 1 to `most`; throws Error otherwise.
  std::int64_t size(const std::string& key, std::int64_t most = kMaxSize) const;
  std::int64_t size_or(const std::string& key, std::int64_t fallback, std::int64_t most = kMaxSize) const;
  /// Finite; throws Error otherwise.
  std::optional<double> number(const std::string& key) const;
  double number_or(const std::string& key, double fallback) const { return number(key).value_or(fallback); }
  bool flag_or(const std::string& key, bool fallback) const;
  std::optional<std::string> text(const std::string& key) const;
  std::string text_or(const std::string& key, const std::string& fallback) const {
    return text(key).value_or(fallback);
  }
  /// An object's keys under the same rules; an empty one when absent.
  JsonConfig object(const std::string& key) const;
  /// One id or a list of them; none when absent. Negative ones stand for none.
  std::vector<std::int32_t> ids(const std::string& key) const;

  /// A whole number from 0; above 0; a soft cap, where null and nothing above 0 mean none.
  std::int64_t count_or(const std::string& key, std::int64_t fallback) const;
  double positive_or(const std::string& key, double fallback) const;
  float cap(const std::string& key, double fallback) const;
  /// A list of strings, or of whole numbers of at least 0; none when absent.
  std::optional<std::vector<std::string>> texts(const std::string& key) const;
  std::optional<std::vector<std::int64_t>> counts(const std::string& key) const;
  /// A list of numbers, all finite.
  std::optional<std::vector<double>> numbers(const std::string& key) const;

  /// transformers' name for an activation.
  Activation activation(const std::string& key, const std::string& fallback) const;
  /// By rope_parameters, rope_scaling, or the flat keys. What is said in several places must agree. `layer_type` is for
  /// models of several RoPEs: where rope_parameters has an object for it ("sliding_attention"), that is taken.
  RopeSpec rope(std::int64_t head_dim, const RopeDefaults& defaults, const std::string& layer_type = "") const;

  /// Throws Error for the first key, of this object or of those that object() gave, that was neither read nor is
  /// known not to change what a model computes: it could compute something else.
  void refuse_unread() const;

  /// Throws Error that says what a key that is there must be.
  [[noreturn]] void fail_key(const std::string& key, std::string_view wanted) const;

  const std::string& path() const { return path_; }

 private:
  struct State;
  JsonConfig(nlohmann::json json, std::string path, std::string prefix, std::int64_t planned);
  /// The value, which counts as read; nullptr when absent or null.
  const nlohmann::json* find(const std::string& key) const;
  [[noreturn]] void refuse(const std::string& key, const nlohmann::json& value, std::string_view wanted) const;

  std::shared_ptr<State> state_;
  std::string path_;
  std::string prefix_;  ///< of keys in messages: "rope_scaling."
  std::int64_t planned_;
};

/// What the parts of every configuration must satisfy; throws Error naming the file.
void check_config(const ModelConfig& config, const std::string& path);

}  // namespace kvpress
