// kept_tokens.json: which tokens each layer and head keeps of a text, with the tokens' texts.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/eval/kept_tokens.h"
#include "kvpress/report/run_document.h"

namespace kvpress {

/// A text under a press.
struct KeptTokensRun {
  std::string press;
  double compression_ratio = 0;
  std::string model;
  std::string dataset;
  std::int64_t chunk_size = 0;      ///< 0: compressed once, after the whole text
  std::vector<std::string> tokens;  ///< each as UTF-8, see token_text()
  KeptTokens kept;

  /// "snapkv at 0.50, wikitext, demo"
  std::string name() const;
};

/// A token's bytes as text that can be shown. A token may be a part of a character: bytes that are no UTF-8 by
/// themselves are written out, "<0xE2>".
std::string token_text(std::string_view bytes);

/// {"press", "compression_ratio", "model", "dataset", "chunk_size", "n_tokens", "n_layers", "n_kv_heads", "summary",
/// "tokens": [...], "kept": [layer][head][places]}.
Json kept_tokens_document(const KeptTokensRun& run);
/// As a file: a line a head.
std::string kept_tokens_text(const Json& document);
/// The reverse. Throws Error that says what is wrong with a document.
KeptTokensRun kept_tokens_run(const Json& document);

Json describe(const KeptSummary& summary);

/// Every kept_tokens.json in or below `paths`, in the order of their folders' names. One that cannot be read is left
/// out with a warning that names it.
std::vector<KeptTokensRun> read_kept_tokens(const std::vector<std::filesystem::path>& paths);

/// The summaries as a table for people, a line a run, with a line below that says what chance would give.
std::string kept_tokens_table(const std::vector<KeptTokensRun>& runs);

}  // namespace kvpress
