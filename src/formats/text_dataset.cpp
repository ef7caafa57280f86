#include "kvpress/formats/text_dataset.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <glob.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include "base/closest.h"
#include "base/file.h"
#include "base/json_text.h"
#include "base/utf8_stream.h"
#include "formats/compressed.h"
#include "formats/included_texts.h"
#include "formats/lfs_pointer.h"
#include "formats/printable.h"
#include "formats/text_encoding.h"
#include "hub/rows_service.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/memory.h"
#include "kvpress/formats/model_files.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

/// Of the splits only this ships: data/<config>/test.jsonl.
constexpr std::string_view kShippedSplit = "test";

struct Shipped {
  std::string_view name, config;
  std::string_view also;  ///< the name in kvpress's evaluation
};
constexpr Shipped kShipped[] = {{"wikitext", "wikitext-103-v1", "wikitext_ppl"}, {"pg19", "pg19", "pg19_ppl"}};

constexpr std::string_view kHub = "hf:";
constexpr std::string_view kBetweenRows = "\n\n";
/// Rows of the hub to ask for at once where each is a book.
constexpr std::int64_t kBooksAPage = 10;

/// The name without a compressing suffix.
fs::path plain_name(const fs::path& path) {
  const std::string suffix = path.extension().string();
  return suffix == ".gz" || suffix == ".xz" || suffix == ".zst" ? path.stem() : path.filename();
}

/// A text that is read in pieces: no more of it than is wanted, and no more than memory holds. A few megabytes unpack
/// to gigabytes, and devices never end.
class GrowingText {
 public:
  /// `name` is what messages call the text; `max_bytes` 0: no limit.
  GrowingText(std::string name, std::int64_t max_bytes)
      : name_(std::move(name)), wanted_(max_bytes > 0 ? static_cast<std::size_t>(max_bytes) : kNoLimit) {}

  /// False once there is enough.
  bool take(std::string_view piece) {
    piece = piece.substr(0, wanted_ - text_.size());
    if (text_.size() + piece.size() > most_) {
      fail("{}: has more than {} of text, a third of the memory that is free; use fewer tokens with {}", name_,
           format_bytes(static_cast<double>(most_)), setting("max_tokens"));
    }
    text_ += piece;
    return text_.size() < wanted_;
  }

  std::string finish() {
    if (text_.size() == wanted_) text_.resize(wanted_ - unfinished_bytes(text_));
    return std::move(text_);
  }

 private:
  static constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

  std::string name_;
  std::size_t wanted_;
  std::size_t most_ = available_bytes() / 3;
  std::string text_;
};

/// What a pipe or terminal gives; `name` is what messages call it.
std::string read_stream(int descriptor, const std::string& name, std::int64_t max_bytes) {
  GrowingText text(name, max_bytes);
  std::vector<char> buffer(1 << 16);
  for (;;) {
    check_interrupt();
    const ssize_t n = ::read(descriptor, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("{}: cannot be read: {}", name, errno_text());
    if (n == 0 || !text.take({buffer.data(), static_cast<std::size_t>(n)})) return text.finish();
  }
}

/// The bytes of a file, or of a pipe, such as that of a process substitution.
class Content {
 public:
  Content(const fs::path& path, std::int64_t max_bytes) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status) || fs::is_regular_file(status) || fs::is_directory(status)) {
      file_.emplace(path);
      return;
    }
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) fail("{}: cannot open: {}", path.string(), errno_text());
    const std::unique_ptr<const int, void (*)(const int*)> guard(&descriptor, [](const int* it) { ::close(*it); });
    text_ = read_stream(descriptor, path.string(), max_bytes);
  }
  std::span<const std::byte> bytes() const { return file_ ? file_->bytes() : std::as_bytes(std::span(text_)); }

 private:
  std::optional<MappedFile> file_;
  std::string text_;
};

void read_pieces(const fs::path& path, const TextSink& sink, std::int64_t max_bytes) {
  const Content content(path, max_bytes);
  const std::span<const std::byte> bytes = content.bytes();
  const std::string suffix = path.extension().string();
  if (suffix == ".gz") return decompress_gzip(bytes, path.string(), sink);
  if (suffix == ".xz") return decompress_xz(bytes, path.string(), sink);
  if (suffix == ".zst") return decompress_zstd(bytes, path.string(), sink);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  refuse_lfs_pointer(text, path.string());
  sink(text);
}

std::string separator(RowsAs rows, bool are_books) {
  const bool apart = rows == RowsAs::automatic ? are_books : rows == RowsAs::apart;
  return apart ? "" : std::string(kBetweenRows);
}

/// Rows from pieces of a file, of which any may end in the middle of a row.
class JsonlReader {
 public:
  /// `max_bytes`: of all rows together, 0: no limit.
  JsonlReader(std::string path, std::string column, std::int64_t max_rows, std::int64_t max_bytes)
      : path_(std::move(path)), column_(std::move(column)), max_rows_(max_rows), max_bytes_(max_bytes) {}

  /// False once there are rows enough.
  bool take(std::string_view piece) {
    if (line_ == 0 && partial_.empty()) refuse_utf16(piece, path_);
    for (;;) {
      if (enough()) return false;
      const auto end = piece.find('\n');
      if (end == std::string_view::npos) break;
      if (partial_.empty()) {
        row(piece.substr(0, end));
      } else {
        row(partial_.append(piece.substr(0, end)));
        partial_.clear();
      }
      piece.remove_prefix(end + 1);
    }
    partial_ += piece;
    check_size(std::ssize(partial_));
    return true;
  }

  std::vector<std::string> finish() {
    if (!enough()) row(partial_);
    return std::move(texts_);
  }

 private:
  bool enough() const {
    // Of rows that were asked for by number, all are read: fewer are an error.
    if (max_rows_ > 0) return static_cast<std::int64_t>(texts_.size()) == max_rows_;
    return max_bytes_ > 0 && n_bytes_ >= max_bytes_;
  }

  void row(std::string_view line) {
    ++line_;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
    nlohmann::json json = parse_json_line(line, path_, static_cast<std::size_t>(line_));
    if (!json.is_object() || !json.contains(column_) || !json[column_].is_string()) {
      fail("{}: line {} has no field \"{}\" that is a string{}", path_, line_, column_, fields_of(json));
    }
    texts_.push_back(std::move(json[column_].get_ref<std::string&>()));
    n_bytes_ += std::ssize(texts_.back());
    check_size(n_bytes_);
  }

  void check_size(std::int64_t n_bytes) const {
    if (n_bytes <= most_) return;
    fail("{}: has more than {} of text, a third of the memory that is free; use fewer rows with {}", path_,
         format_bytes(static_cast<double>(most_)), setting("max_samples"));
  }

  /// What could be meant instead.
  static std::string fields_of(const nlohmann::json& row) {
    std::vector<std::string> names;
    if (row.is_object()) {
      for (const auto& [name, value] : row.items()) {
        if (value.is_string()) names.push_back(printable(name));
      }
    }
    return names.empty() ? "" : fmt::format("; choose one with {}: {}", setting("text_column"), fmt::join(names, ", "));
  }

  std::string path_;
  std::string column_;
  std::int64_t max_rows_;
  std::int64_t max_bytes_;
  std::int64_t n_bytes_ = 0;
  std::int64_t most_ = static_cast<std::int64_t>(available_bytes() / 3);
  std::int64_t line_ = 0;
  std::string partial_;
  std::vector<std::string> texts_;
};

/// Pipes, terminals and what stands for them in /dev and /proc: their names say nothing of what they give.
bool is_stream(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status) || fs::is_directory(status)) return false;
  const std::string name = path.string();
  return !fs::is_regular_file(status) || name.starts_with("/dev/") || name.starts_with("/proc/");
}

bool is_jsonl(const fs::path& path) { return plain_name(path).extension() == ".jsonl"; }

std::vector<std::string> read_texts(const fs::path& path, const TextRequest& request) {
  if (!is_jsonl(path)) {
    std::string text = read_text_file(path, request.max_bytes);
    if (text.empty() && is_stream(path)) fail("{}: is empty", path.string());
    return {std::move(text)};
  }
  const bool joined = !separator(request.rows, false).empty();
  JsonlReader reader(path.string(), request.column, request.max_samples, joined ? request.max_bytes : 0);
  read_pieces(
      path, [&](std::string_view piece) { return reader.take(piece); }, 0);
  return reader.finish();
}

TextDataset load_shipped(const Shipped& shipped, const TextRequest& request) {
  const fs::path path = shipped_data_dir() / "data" / shipped.config / fmt::format("{}.jsonl", kShippedSplit);
  const bool is_book = shipped.name == "pg19";
  const std::string elsewhere = fmt::format("use the whole data set, hf:{}, or the path of a .jsonl file",
                                            is_book ? "emozilla/pg19" : "Salesforce/wikitext");
  if (!request.config.empty() && request.config != shipped.config) {
    fail_usage("{}: configuration '{}' is not included, only {}; {}", shipped.name, request.config, path.string(),
               elsewhere);
  }
  if (!request.split.empty() && request.split != kShippedSplit) {
    fail_usage("{}: split '{}' is not included, only {}; {}", shipped.name, request.split, path.string(), elsewhere);
  }
  TextDataset dataset;
  dataset.name = shipped.name == shipped.config ? fmt::format("{}/{}", shipped.name, kShippedSplit)
                                                : fmt::format("{}/{}/{}", shipped.name, shipped.config, kShippedSplit);
  dataset.separator = separator(request.rows, is_book);
  dataset.texts = read_texts(path, request);
  if (const auto n = static_cast<std::int64_t>(dataset.texts.size()); n < request.max_samples) {
    fail_usage("{}: {} has only {} row{}, not {}; {}", shipped.name, path.string(), n, n == 1 ? "" : "s",
               request.max_samples, elsewhere);
  }
  return dataset;
}

TextDataset load_from_hub(const TextRequest& request) {
  RowsRequest rows{.dataset = request.name.substr(kHub.size()), .config = request.config, .split = request.split};
  rows.column = request.column;
  rows.max_rows = request.max_samples;
  TextDataset dataset;
  dataset.separator = separator(request.rows, rows.dataset.find("pg19") != std::string::npos);
  if (dataset.separator.empty()) rows.page = kBooksAPage;
  const auto reader = std::make_shared<RowsReader>(hub_settings(), rows);
  dataset.name = fmt::format("{}/{}/{}", request.name, reader->config(), reader->split());
  dataset.more = [reader] { return reader->next(); };
  return dataset;
}

TextDataset read_standard_input(std::int64_t max_bytes) {
  TextDataset dataset{.name = "-", .texts = {""}, .names = {}, .separator = "", .more = {}};
  dataset.texts[0] = checked_utf8(read_stream(STDIN_FILENO, "-: standard input", max_bytes), "-");
  if (dataset.texts[0].empty()) fail("-: standard input is empty");
  return dataset;
}

/// The files that a name stands for: one, or those that fit a pattern, in the order of their names.
std::vector<fs::path> files_of(const TextRequest& request) {
  const std::string& name = request.name;
  std::error_code error;
  if (fs::is_regular_file(name, error) || is_stream(name)) return {name};
  if (name.find_first_of("*?[") != std::string::npos) {
    glob_t found{};
    std::vector<fs::path> files;
    if (::glob(name.c_str(), 0, nullptr, &found) == 0) {
      for (std::size_t i = 0; i < found.gl_pathc; ++i) {
        if (fs::is_regular_file(found.gl_pathv[i], error)) files.emplace_back(found.gl_pathv[i]);
      }
    }
    ::globfree(&found);
    if (files.empty()) fail_usage("{}: no file matches this pattern", name);
    return files;
  }
  if (fs::is_directory(name, error))
    fail_usage("{}: is a folder; give its files by a pattern, such as '{}/*.txt'", name, name);
  const std::string suffix = plain_name(name).extension().string();
  if (request.is_file || suffix == ".jsonl" || suffix == ".txt" || name.find('/') != std::string::npos) {
    fail("{}: no such file", name);
  }
  static const std::vector<std::string> kKnown = {"wikitext", "pg19"};
  fail_usage("data set '{}' is not known{}; known: wikitext, pg19, hf:ORG/NAME, or a path to a .jsonl or .txt file",
             name, did_you_mean(name, kKnown));
}

TextDataset load_files(const TextRequest& request) {
  const std::vector<fs::path> files = files_of(request);
  TextDataset dataset;
  dataset.name = request.name;
  const bool jsonl = is_jsonl(files.front());
  for (const fs::path& path : files) {
    const std::string suffix = plain_name(path).extension().string();
    if (suffix != ".jsonl" && suffix != ".txt" && !is_stream(path)) {
      fail_usage("{}: unknown kind of text file; use .jsonl or .txt, optionally with .gz, .xz or .zst", path.string());
    }
    if (is_jsonl(path) != jsonl) fail_usage("{}: matches .txt and .jsonl files; use one kind at a time", request.name);
  }
  dataset.separator = separator(request.rows, !jsonl);
  TextRequest rest = request;
  for (const fs::path& path : files) {
    if (request.max_samples > 0) {
      rest.max_samples = request.max_samples - static_cast<std::int64_t>(dataset.texts.size());
      if (rest.max_samples <= 0) break;
    }
    for (std::string& it : read_texts(path, rest)) dataset.texts.push_back(std::move(it));
    if (!jsonl) dataset.names.push_back(path.string());
  }
  if (const auto n = static_cast<std::int64_t>(dataset.texts.size()); n < request.max_samples) {
    fail_usage("{}: has only {} text{}, not {}; use fewer", request.name, n, n == 1 ? "" : "s", request.max_samples);
  }
  return dataset;
}

}  // namespace

RowsAs parse_rows_as(std::string_view text, const std::string& option) {
  if (text == "auto") return RowsAs::automatic;
  if (text == "joined") return RowsAs::joined;
  if (text == "apart") return RowsAs::apart;
  fail_usage("{}: '{}' is not known; known: auto, joined, apart", option, text);
}

std::string read_text_file(const fs::path& path, std::int64_t max_bytes) {
  GrowingText growing(path.string(), max_bytes);
  read_pieces(
      path, [&](std::string_view piece) { return growing.take(piece); }, max_bytes);
  std::string text = growing.finish();
  if (const std::string_view checked = checked_utf8(text, path.string()); checked.size() < text.size()) {
    text.erase(0, text.size() - checked.size());
  }
  return text;
}

bool is_included(std::string_view name) {
  return std::any_of(std::begin(kShipped), std::end(kShipped),
                     [&](const Shipped& it) { return it.name == name || it.also == name; });
}

TextDataset load_texts(const TextRequest& request) {
  if (request.max_samples < 0) fail_usage("{}: {} rows is negative; 0 means all", request.name, request.max_samples);
  if (request.name == "-") return read_standard_input(request.max_bytes);
  if (!request.is_file) {
    for (const Shipped& it : kShipped) {
      if (it.name == request.name || it.also == request.name) return load_shipped(it, request);
    }
    if (request.name.starts_with(kHub)) return load_from_hub(request);
  }
  return load_files(request);
}

}  // namespace kvpress
