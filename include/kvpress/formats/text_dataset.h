// Texts: the included data sets, data sets of the hub, and files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

/// Whether the rows of a source are one text or many.
enum class RowsAs : std::uint8_t {
  automatic,  ///< separate texts for books (PG19), else one text
  joined,     ///< one text, with an empty line between rows
  apart       ///< each row is a separate text
};
/// Parses "auto", "joined" or "apart". Throws UsageError with `option`.
RowsAs parse_rows_as(std::string_view text, const std::string& option);

struct TextRequest {
  /// "wikitext" or "pg19" (included), "hf:ORG/NAME" (the hub's rows service), a path to a .jsonl or .txt, also .gz, .xz
  /// or .zst, a pattern of paths ("books/*.txt"), or "-" for standard input as one text.
  std::string name = {};
  std::string config = {};       ///< of a data set; empty: its default
  std::string split = {};        ///< of a data set; empty: "test"
  std::int64_t max_samples = 0;  ///< number of rows or files to use; 0: all
  std::string column = "text";   ///< the column with the text
  RowsAs rows = RowsAs::automatic;
  bool is_file = false;  ///< `name` is a file, never a data set
  /// Of each text, or of all rows that are joined, no more need be read than so many bytes; 0: no limit.
  std::int64_t max_bytes = 0;
};

/// Texts in the order of their source, and how they are joined.
struct TextDataset {
  std::string name;                ///< for reports: "wikitext/wikitext-103-v1/test", or the file's path
  std::vector<std::string> texts;  ///< one per row or book; includes empty rows (WikiText has them)
  std::vector<std::string> names;  ///< paths, if each text is a file; else empty
  /// The text between rows that are joined: "\n\n" for WikiText and .jsonl files. Empty if texts are separate: books of
  /// PG19, .txt files.
  std::string separator;
  /// Returns further texts, one per call, read when called; empty after the last. Null if there are none.
  std::function<std::optional<std::string>()> more;
};

/// Finds and reads texts; rows of the hub are read later, through `more`. Throws Error with file and line for invalid
/// JSON, a missing field or damaged compression. Throws UsageError for an unknown data set, a pattern that matches no
/// file, and if there are fewer texts than max_samples.
TextDataset load_texts(const TextRequest& request);

/// The content of a file, decompressed according to its suffix (.gz, .xz, .zst, or none), or its first max_bytes (0:
/// all) in whole characters. Throws Error with the path, also for a text that the machine's memory cannot hold.
std::string read_text_file(const std::filesystem::path& path, std::int64_t max_bytes = 0);

}  // namespace kvpress
