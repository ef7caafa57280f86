// The field "kvpress" of a request: under which press, budget and format its cache is held, and what it goes on from.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "kvpress/engine/compression_settings.h"
#include "kvpress/tokenizer/tokenizer.h"
#include "serve/fields.h"

namespace kvpress::serve {

/// Presses by their notation, parsed and prepared once. Thread-safe.
class PressBook {
 public:
  /// `own` is the server's press, prepared: the only one that may name files. All must outlive the book.
  PressBook(const ModelConfig& config, std::string model_name, const Tokenizer& tokenizer, NamedPress own);
  /// Throws ApiError naming `param`.
  NamedPress find(const std::string& text, const std::string& param);

 private:
  const ModelConfig& config_;
  const std::string model_name_;
  const Tokenizer& tokenizer_;
  const NamedPress own_;
  std::mutex mutex_;
  std::map<std::string, NamedPress> presses_;
};

/// What holds for requests that do not say it.
struct CacheDefaults {
  CompressionSettings compression;
  double ratio = 0.5;                ///< of presses of requests that give no budget
  std::int64_t scoring_chunk = 256;  ///< tokens between compressions where a prompt is scored
};

struct CacheRequest {
  CompressionSettings compression;
  std::string key;                             ///< equal for equal settings
  std::int64_t chunk_size = 0;                 ///< compress each time so many tokens were read; 0: as the prompt has it
  std::optional<std::int64_t> context_tokens;  ///< compress once after so many tokens; the rest decodes
  std::string context;                         ///< the id of a context; empty: none
  bool held = false;                           ///< the answer tells which tokens the cache holds after the prompt
};

/// Reads {"press", "compression_ratio" | "target_size" | "budget", "compression_interval", "cache_dtype",
/// "cache_residual", "positions", "seed", "chunk_size", "context_tokens", "context", "held"}; `field` may be null.
/// Throws ApiError naming the field.
CacheRequest read_cache_request(const Json* field, const CacheDefaults& defaults, PressBook& presses,
                                const ModelConfig& config);

/// Two settings with the same key give the same results.
std::string settings_key(const CompressionSettings& settings);

}  // namespace kvpress::serve
