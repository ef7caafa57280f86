// Texts: the data sets that ship, and files of the user's own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace kvpress {

/// Texts in the order of their source, and how they join to one.
struct TextDataset {
  std::string name;                ///< for reports: "wikitext/wikitext-103-v1/test", or the file's path
  std::vector<std::string> texts;  ///< one a row or book; empty rows are kept (WikiText has them)
  /// Put between the rows when they join to one text: "\n\n" for WikiText and for every .jsonl of the user's own. Empty
  /// when each text stands alone: PG19's books, a .txt.
  std::string separator;
};

/// `name`: "wikitext", "pg19", or a path to a .jsonl (field "text", a string) or .txt, or to their .gz / .xz / .zst. A
/// .txt is one text. `config` and `split` choose among what ships ("wikitext-103-v1", "test"); empty means the default,
/// and for a path they mean nothing. The first `max_samples` texts are read (all when 0). Throws Error naming the file
/// and line for bad JSON, a missing field, bad compression; UsageError for an unknown data set, naming those known, and
/// when a file holds fewer texts than were asked for.
TextDataset load_texts(const std::string& name, const std::string& config, const std::string& split,
                       std::int64_t max_samples);

/// The decompressed content of a file, by its suffix (.gz, .xz, .zst, or none).
std::string read_text_file(const std::filesystem::path& path);

}  // namespace kvpress
