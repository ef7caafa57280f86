// config.json by keys, with errors that name the file and the key.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kvpress/model/config.h"

namespace kvpress {

class JsonConfig {
 public:
  JsonConfig(const nlohmann::json& json, std::string path) : json_(json), path_(std::move(path)) {}

  /// Absent and null read the same.
  bool has(const std::string& key) const { return json_.contains(key) && !json_.at(key).is_null(); }
  /// A whole number from 1 to 2^31; throws Error otherwise.
  std::int64_t size(const std::string& key) const;
  std::int64_t size_or(const std::string& key, std::int64_t fallback) const { return has(key) ? size(key) : fallback; }
  double number_or(const std::string& key, double fallback) const;
  bool flag_or(const std::string& key, bool fallback) const;
  std::string text_or(const std::string& key, const std::string& fallback) const;
  /// An object's keys under the same rules; an empty one when absent.
  JsonConfig object(const std::string& key) const;
  /// One id or a list of them; none when absent.
  std::vector<std::int32_t> ids(const std::string& key) const;

  /// transformers' name for an activation.
  Activation activation(const std::string& key, const std::string& fallback) const;
  /// The inverse frequencies, by the newer rope_parameters or the older flat keys and rope_scaling.
  std::vector<float> rope(std::int64_t head_dim, double default_partial) const;

  const std::string& path() const { return path_; }

 private:
  nlohmann::json json_;
  std::string path_;
};

/// What the parts of every configuration must satisfy; throws Error naming the file.
void check_config(const ModelConfig& config, const std::string& path);

}  // namespace kvpress
