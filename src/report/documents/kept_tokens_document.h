// kept_tokens.json: the tokens of a text that each layer and head keeps, and their texts.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/eval/kept_tokens.h"
#include "report/documents/json.h"

namespace kvpress {

/// The kept tokens of one text with one press at one ratio.
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

/// The bytes of a token as text to show. A token may be part of a character: bytes that are not valid UTF-8 are written
/// as "<0xE2>".
std::string token_text(std::string_view bytes);

/// {"press", "compression_ratio", "model", "dataset", "chunk_size", "n_tokens", "n_layers", "n_kv_heads", "summary",
/// "tokens": [...], "kept": [layer][head][places]}.
Json kept_tokens_document(const KeptTokensRun& run);
/// The document as the content of a file, one line per head.
std::string kept_tokens_text(const Json& document);
/// The inverse of kept_tokens_document(). Throws Error that names the invalid part of a document.
KeptTokensRun kept_tokens_run(const Json& document);

/// The summary as JSON.
Json describe(const KeptSummary& summary);

/// Every kept_tokens.json in or below `paths`, in the order of folder names. A file that cannot be read is skipped with
/// a warning. Throws Error if a path is not a folder.
std::vector<KeptTokensRun> read_kept_tokens(const std::vector<std::filesystem::path>& paths);

/// The summaries as a table for terminals, one line per run.
std::string kept_tokens_table(const std::vector<KeptTokensRun>& runs);

}  // namespace kvpress
