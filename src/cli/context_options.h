// A text that is read and compressed, to be asked about: the options of compress, which ask and chat share.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "cli/run_options.h"
#include "cli/text_options.h"
#include "kvpress/engine/context_file.h"
#include "kvpress/engine/open_model.h"
#include "kvpress/engine/sequence.h"

namespace kvpress {

/// What stands around a text and the questions about it.
struct Turns {
  std::string before_text;      ///< of the model's chat template; empty without
  std::string before_question;  ///< after the text
  std::string after_question;
  std::string between;  ///< after an answer, before the next question; empty: the template has only one turn

  /// As notes of a context, and back.
  void write(ContextOrigin& origin) const;
  static Turns read(const ContextOrigin& origin);
};

/// --press, --compression-ratio, --budget, --target-size, ..., --chat, --bos.
struct ContextOptions {
  std::string press;
  double compression_ratio = 0.5;
  BudgetOptions budget;
  BosOption bos;
  ChatOption chat;

  void add_to(CLI::App& command, const std::string& default_press);
  /// Throws UsageError for values that no model is needed to refuse.
  void check() const;
  /// Warns that options which say how a text is read change nothing.
  static void warn_of_void(const CLI::App& command, const std::string& reason);
};

/// A text and how it is compressed, checked, before weights are loaded.
struct ContextText {
  std::string name;
  std::vector<std::int32_t> tokens;
  Turns turns;
  CompressionSettings compression;
};
/// `file`: a text file, also compressed by gzip, xz or zstd, or - for standard input. Prepares the press.
ContextText read_context_text(const ContextOptions& options, const ComputeOptions& compute, const OpenedModel& opened,
                              const Tokenizer& tokenizer, const std::string& file, const CLI::App& command);

/// Reads the text and compresses it.
Sequence read_context(const LoadedModel& loaded, ContextText& text, const Tokenizer& tokenizer);

/// The lines of `kvpress inspect` for a context.
std::string context_summary(const ContextInfo& info, const std::string& path);

}  // namespace kvpress
