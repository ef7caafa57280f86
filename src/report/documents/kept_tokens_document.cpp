#include "report/documents/kept_tokens_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "base/json_text.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/log.h"
#include "report/page/html.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFileName = "kept_tokens.json";

const Json& entry(const Json& document, const char* name, bool right) {
  if (!right) fail("'{}' is missing or has a wrong value", name);
  return document[name];
}

std::string text_of(const Json& document, const char* name) {
  return entry(document, name, document.contains(name) && document[name].is_string()).get<std::string>();
}

std::int64_t count_of(const Json& document, const char* name, std::int64_t least) {
  const bool right = document.contains(name) && document[name].is_number_integer() &&
                     document[name].get<std::int64_t>() >= least && document[name].get<std::int64_t>() < (1LL << 31);
  return entry(document, name, right).get<std::int64_t>();
}

const Json& list_of(const Json& document, const char* name, std::int64_t size) {
  return entry(
      document, name,
      document.contains(name) && document[name].is_array() && static_cast<std::int64_t>(document[name].size()) == size);
}

std::vector<std::int32_t> positions_of(const Json& list, std::int64_t n_tokens) {
  std::vector<std::int32_t> positions;
  std::int64_t before = -1;
  for (const Json& it : list) {
    if (!it.is_number_integer() || it.get<std::int64_t>() <= before || it.get<std::int64_t>() >= n_tokens) {
      fail("the kept tokens of a head must be ascending positions below {}, not {}", n_tokens, it.dump().substr(0, 40));
    }
    before = it.get<std::int64_t>();
    positions.push_back(static_cast<std::int32_t>(before));
  }
  return positions;
}

void find_files(const fs::path& top, std::set<fs::path>& found) {
  std::error_code error;
  if (fs::exists(top / kFileName, error)) found.insert(top / kFileName);
  fs::recursive_directory_iterator it(top, fs::directory_options::skip_permission_denied, error);
  if (error) fail("{}: cannot be read: {}", top.string(), error.message());
  for (; it != fs::recursive_directory_iterator(); it.increment(error)) {
    check_interrupt();
    if (error) fail("{}: cannot be read: {}", top.string(), error.message());
    const std::string name = it->path().filename().string();
    // A hidden folder is one that is still being written.
    if (name.starts_with(".") && it->is_directory(error)) it.disable_recursion_pending();
    if (name == kFileName) found.insert(it->path());
  }
}

}  // namespace

std::string KeptTokensRun::name() const {
  return fmt::format("{} at {:.2f}, {}, {}{}", press, compression_ratio, dataset, model,
                     chunk_size > 0 ? fmt::format(", chunks of {}", chunk_size) : "");
}

std::string token_text(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    // The longest character that begins here: whole, or a single byte that is none.
    std::size_t n = 1;
    for (const std::size_t length : {4, 3, 2, 1}) {
      const std::string_view part = bytes.substr(0, length);
      if (part.size() == length && valid_utf8(part) == part) {
        n = length;
        break;
      }
      n = 0;
    }
    if (n == 0) {
      text += fmt::format("<0x{:02X}>", static_cast<unsigned char>(bytes.front()));
      n = 1;
    } else {
      text += bytes.substr(0, n);
    }
    bytes.remove_prefix(n);
  }
  return text;
}

Json describe(const KeptSummary& it) {
  return {{"share", it.share},
          {"smallest", it.smallest},
          {"largest", it.largest},
          {"by_all", it.by_all},
          {"by_none", it.by_none},
          {"share_of_first_4", it.share_of_first},
          {"share_of_last_64", it.share_of_last},
          {"overlap_in_layers", it.overlap_in_layers},
          {"overlap", it.overlap},
          {"overlap_by_chance", it.overlap_by_chance}};
}

Json kept_tokens_document(const KeptTokensRun& run) {
  Json document = {{"press", run.press},
                   {"compression_ratio", run.compression_ratio},
                   {"model", run.model},
                   {"dataset", run.dataset},
                   {"chunk_size", run.chunk_size},
                   {"n_tokens", run.kept.n_tokens},
                   {"n_layers", run.kept.n_layers},
                   {"n_kv_heads", run.kept.n_kv_heads},
                   {"summary", describe(summary_of(run.kept))},
                   {"tokens", run.tokens},
                   {"kept", Json::array()}};
  if (!run.kept.windows.empty()) document["windows"] = run.kept.windows;
  for (std::int64_t l = 0; l < run.kept.n_layers; ++l) {
    Json layer = Json::array();
    for (std::int64_t h = 0; h < run.kept.n_kv_heads; ++h) layer.push_back(run.kept.head(l, h));
    document["kept"].push_back(std::move(layer));
  }
  return document;
}

std::string kept_tokens_text(const Json& document) {
  std::string text;
  for (const auto& [name, value] : document.items()) {
    text += fmt::format("{} {}: ", text.empty() ? "{" : ",\n ", Json(name).dump());
    if (name != "kept") {
      text += value.dump(-1, ' ', false, Json::error_handler_t::replace);
      continue;
    }
    text += "[";
    for (std::size_t l = 0; l < value.size(); ++l) {
      text += l > 0 ? ",\n  [" : "\n  [";
      for (std::size_t h = 0; h < value[l].size(); ++h) text += (h > 0 ? ",\n   " : "") + value[l][h].dump();
      text += "]";
    }
    text += "]";
  }
  return text + "\n}\n";
}

KeptTokensRun kept_tokens_run(const Json& document) {
  if (!document.is_object()) fail("it is not a JSON object");
  KeptTokensRun run;
  run.press = text_of(document, "press");
  run.model = text_of(document, "model");
  run.dataset = text_of(document, "dataset");
  const bool has_ratio = document.contains("compression_ratio") && document["compression_ratio"].is_number();
  run.compression_ratio = entry(document, "compression_ratio", has_ratio).get<double>();
  run.chunk_size = count_of(document, "chunk_size", 0);
  KeptTokens& kept = run.kept;
  kept.n_tokens = count_of(document, "n_tokens", 1);
  kept.n_layers = count_of(document, "n_layers", 1);
  kept.n_kv_heads = count_of(document, "n_kv_heads", 1);
  for (const Json& it : list_of(document, "tokens", kept.n_tokens)) {
    if (!it.is_string()) fail("'tokens' must contain strings, not {}", it.dump().substr(0, 40));
    run.tokens.push_back(it.get<std::string>());
  }
  if (document.contains("windows")) {
    for (const Json& it : list_of(document, "windows", kept.n_layers)) {
      if (!it.is_number_integer() || it.get<std::int64_t>() < 0)
        fail("'windows' must contain numbers of tokens, not {}", it.dump().substr(0, 40));
      kept.windows.push_back(it.get<std::int64_t>());
    }
  }
  for (const Json& layer : list_of(document, "kept", kept.n_layers)) {
    if (!layer.is_array() || static_cast<std::int64_t>(layer.size()) != kept.n_kv_heads) {
      fail("'kept' must contain a list of {} heads for each layer", kept.n_kv_heads);
    }
    for (const Json& head : layer) {
      if (!head.is_array()) fail("the kept tokens of a head must be a list, not {}", head.dump().substr(0, 40));
      kept.heads.push_back(positions_of(head, kept.n_tokens));
    }
  }
  return run;
}

std::vector<KeptTokensRun> read_kept_tokens(const std::vector<fs::path>& paths) {
  std::set<fs::path> files;
  for (const fs::path& path : paths) {
    if (!fs::is_directory(path)) fail("{}: no such folder; give one that contains result folders", path.string());
    find_files(path.lexically_normal(), files);
  }
  std::vector<KeptTokensRun> runs;
  for (const fs::path& file : files) {
    try {
      const std::string text = read_file(file);
      const Json document = nests_too_deep(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
      if (document.is_discarded()) fail("it is not valid JSON");
      runs.push_back(kept_tokens_run(document));
    } catch (const Error& error) {
      log_warning(fmt::format("{}: skipped: {}", file.string(), error.what()));
    }
  }
  return runs;
}

std::string kept_tokens_table(const std::vector<KeptTokensRun>& runs) {
  std::size_t widest = 5;
  for (const KeptTokensRun& it : runs) widest = std::max(widest, it.press.size());
  std::string table = fmt::format(
      "{:<{}}  ratio  kept %  tokens per head  in all heads  in no head  first {} %  last {} %  overlap in layer  over "
      "all heads  by chance\n",
      "press", widest, kFirstTokens, kLastTokens);
  for (const KeptTokensRun& it : runs) {
    const KeptSummary s = summary_of(it.kept);
    const std::string sizes =
        s.smallest == s.largest ? std::to_string(s.largest) : fmt::format("{}-{}", s.smallest, s.largest);
    table +=
        fmt::format("{:<{}}  {:5.2f}  {:6.1f}  {:>15}  {:12}  {:10}  {:9.1f}  {:9.1f}  {:16.3f}  {:14.3f}  {:9.3f}\n",
                    it.press, widest, it.compression_ratio, 100 * s.share, sizes, s.by_all, s.by_none,
                    100 * s.share_of_first, 100 * s.share_of_last, s.overlap_in_layers, s.overlap, s.overlap_by_chance);
  }
  return table;
}

}  // namespace kvpress
