// Texts: the data sets that ship, those of the hub, and files of the user's own.
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
  automatic,  ///< each its own text where they are books (PG19), else one text
  joined,     ///< one text, with an empty line between rows
  apart       ///< each row a text of its own
};
/// Throws UsageError naming `option`.
RowsAs parse_rows_as(std::string_view text, const std::string& option);

struct TextRequest {
  /// "wikitext" or "pg19" (what ships), "hf:ORG/NAME" (the hub's rows service), a path to a .jsonl or .txt, also .gz,
  /// .xz or .zst, a pattern of paths ("books/*.txt"), or "-", standard input as one text.
  std::string name = {};
  std::string config = {};       ///< of a data set; empty: its default
  std::string split = {};        ///< of a data set; empty: "test"
  std::int64_t max_samples = 0;  ///< rows or files to take, 0: all
  std::string column = "text";   ///< of a row, the one that holds the text
  RowsAs rows = RowsAs::automatic;
  bool is_file = false;  ///< `name` is no data set's
};

/// Texts in the order of their source, and how they join to one.
struct TextDataset {
  std::string name;                ///< for reports: "wikitext/wikitext-103-v1/test", or the file's path
  std::vector<std::string> texts;  ///< one a row or book; empty rows are kept (WikiText has them)
  std::vector<std::string> names;  ///< the files' paths, where each text is a file; else empty
  /// Put between the rows when they join to one text: "\n\n" for WikiText and for every .jsonl of the user's own. Empty
  /// when each text stands alone: PG19's books, a .txt.
  std::string separator;
  /// The texts after those, one a call, read only when asked for; nothing after the last. Null where there are none.
  std::function<std::optional<std::string>()> more;
};

/// Finds and reads them; rows of the hub are fetched later, through `more`. Throws Error naming the file and line for
/// bad JSON, a missing field, bad compression; UsageError for an unknown data set, naming those known, for a pattern
/// that fits no file, and when there are fewer texts than were asked for.
TextDataset load_texts(const TextRequest& request);

/// The decompressed content of a file, by its suffix (.gz, .xz, .zst, or none).
std::string read_text_file(const std::filesystem::path& path);

}  // namespace kvpress
