#include "kvpress/formats/text_dataset.h"

#include <nlohmann/json.hpp>

#include <system_error>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/file.h"
#include "kvpress/formats/compressed.h"
#include "kvpress/formats/model_files.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

/// Of the splits only this ships: data/<config>/test.jsonl.
constexpr std::string_view kShippedSplit = "test";

struct Shipped {
  std::string_view name, config, separator;
};
constexpr Shipped kShipped[] = {{"wikitext", "wikitext-103-v1", "\n\n"}, {"pg19", "pg19", ""}};

/// The name without a compressing suffix.
fs::path plain_name(const fs::path& path) {
  const std::string suffix = path.extension().string();
  return suffix == ".gz" || suffix == ".xz" || suffix == ".zst" ? path.stem() : path.filename();
}

void read_pieces(const fs::path& path, const TextSink& sink) {
  const MappedFile file(path);
  const std::string suffix = path.extension().string();
  if (suffix == ".gz") return decompress_gzip(file.bytes(), path.string(), sink);
  if (suffix == ".xz") return decompress_xz(file.bytes(), path.string(), sink);
  if (suffix == ".zst") return decompress_zstd(file.bytes(), path.string(), sink);
  sink({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
}

/// Rows from pieces of a file, of which any may end in the middle of a row.
class JsonlReader {
 public:
  JsonlReader(std::string path, std::int64_t max_rows) : path_(std::move(path)), max_rows_(max_rows) {}

  /// False once there are rows enough.
  bool take(std::string_view piece) {
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
    return true;
  }

  std::vector<std::string> finish() {
    if (!enough()) row(partial_);
    return std::move(texts_);
  }

 private:
  bool enough() const { return max_rows_ > 0 && static_cast<std::int64_t>(texts_.size()) == max_rows_; }

  void row(std::string_view line) {
    ++line_;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
    nlohmann::json json;
    try {
      json = nlohmann::json::parse(line);
    } catch (const nlohmann::json::exception&) {
      fail("{}: line {} is not valid JSON", path_, line_);
    }
    if (!json.is_object() || !json.contains("text") || !json["text"].is_string()) {
      fail("{}: line {} has no field \"text\" that is a string", path_, line_);
    }
    texts_.push_back(std::move(json["text"].get_ref<std::string&>()));
  }

  std::string path_;
  std::int64_t max_rows_;
  std::int64_t line_ = 0;
  std::string partial_;
  std::vector<std::string> texts_;
};

std::vector<std::string> read_texts(const fs::path& path, std::int64_t max_samples) {
  if (plain_name(path).extension() != ".jsonl") return {read_text_file(path)};
  JsonlReader reader(path.string(), max_samples);
  read_pieces(path, [&](std::string_view piece) { return reader.take(piece); });
  return reader.finish();
}

TextDataset load_shipped(const Shipped& shipped, const std::string& config, const std::string& split,
                         std::int64_t max_samples) {
  const fs::path path = shipped_data_dir() / "data" / shipped.config / fmt::format("{}.jsonl", kShippedSplit);
  constexpr std::string_view kElsewhere = "give a whole split by the path of its .jsonl";
  if (!config.empty() && config != shipped.config) {
    fail_usage("{}: configuration '{}' does not ship, only {} does; {}", shipped.name, config, path.string(),
               kElsewhere);
  }
  if (!split.empty() && split != kShippedSplit) {
    fail_usage("{}: split '{}' does not ship, only {} does; {}", shipped.name, split, path.string(), kElsewhere);
  }
  TextDataset dataset;
  dataset.name = shipped.name == shipped.config ? fmt::format("{}/{}", shipped.name, kShippedSplit)
                                                : fmt::format("{}/{}/{}", shipped.name, shipped.config, kShippedSplit);
  dataset.separator = shipped.separator;
  dataset.texts = read_texts(path, max_samples);
  if (const auto n = static_cast<std::int64_t>(dataset.texts.size()); n < max_samples) {
    fail_usage("{}: {} holds {} row{}, asked for {}; {}", shipped.name, path.string(), n, n == 1 ? "" : "s",
               max_samples, kElsewhere);
  }
  return dataset;
}

}  // namespace

std::string read_text_file(const fs::path& path) {
  std::string text;
  read_pieces(path, [&](std::string_view piece) {
    text += piece;
    return true;
  });
  return text;
}

TextDataset load_texts(const std::string& name, const std::string& config, const std::string& split,
                       std::int64_t max_samples) {
  if (max_samples < 0) fail_usage("{}: asked for {} rows; 0 takes all", name, max_samples);
  for (const Shipped& it : kShipped) {
    if (it.name == name) return load_shipped(it, config, split, max_samples);
  }
  std::error_code error;
  const std::string suffix = plain_name(name).extension().string();
  if (!fs::is_regular_file(name, error)) {
    if (suffix == ".jsonl" || suffix == ".txt" || name.find('/') != std::string::npos) fail("{}: no such file", name);
    fail_usage("data set '{}' is not known; known: wikitext, pg19, or a path to a .jsonl or .txt file", name);
  }
  if (suffix != ".jsonl" && suffix != ".txt") {
    fail_usage("{}: not a kind of text file that is known; .jsonl and .txt are, also with .gz, .xz or .zst", name);
  }
  TextDataset dataset;
  dataset.name = name;
  dataset.separator = suffix == ".jsonl" ? "\n\n" : "";
  dataset.texts = read_texts(name, max_samples);
  if (const auto n = static_cast<std::int64_t>(dataset.texts.size()); n < max_samples) {
    fail_usage("{}: holds {} text{}, asked for {}", name, n, n == 1 ? "" : "s", max_samples);
  }
  return dataset;
}

}  // namespace kvpress
