// The options that say which texts a command reads.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include "kvpress/engine/open_model.h"
#include "kvpress/formats/text_dataset.h"
#include "kvpress/tokenizer/tokenizer.h"

namespace kvpress {

/// --bos: what is put around a text.
struct BosOption {
  std::string bos = "auto";

  void add_to(CLI::App& command);
  BosChoice choice() const { return parse_bos_choice(bos, "--bos"); }
};

/// --chat: whether texts are put into the model's chat template.
struct ChatOption {
  std::string chat = "auto";

  /// `what` is in the help: "the prompt is a message".
  void add_to(CLI::App& command, const std::string& what);
  /// Throws UsageError for an unknown value.
  void check() const;
  /// Throws UsageError where the model has no template and one is asked for, and for a --bos beside one.
  bool uses_template(const OpenedModel& opened, const BosOption& bos) const;
};

/// --dataset, --text, --dataset-config, --split, --rows, --text-column, --max-samples, --bos.
struct TextOptions {
  std::string dataset = "wikitext";
  std::string text;
  std::string config;
  std::string split;
  std::string rows = "auto";
  std::string column = "text";
  std::int64_t max_samples = 0;
  BosOption bos;

  /// `dataset_names` is what the option of the data set is called.
  void add_to(CLI::App& command, const std::string& dataset_names);
  /// Throws UsageError for values that no text is needed to refuse.
  void check() const;
  /// `max_tokens`: of each text; no more of it is read than that may need. 0 or none: all.
  TextRequest request(std::optional<std::int64_t> max_tokens = {}) const;
};

/// The options but the data set's, for a command that has its own.
void add_text_options(TextOptions& options, CLI::App& command, CLI::Option* dataset);

inline constexpr const char* kMaxTokensHelp = "Truncate each text to this many tokens";

}  // namespace kvpress
