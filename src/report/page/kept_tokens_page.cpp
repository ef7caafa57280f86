#include "report/page/kept_tokens_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>

#include <cstdint>
#include <map>
#include <set>

#include "base/counted.h"
#include "report/page/charts_json.h"
#include "report/page/html.h"
#include "report/page/page_parts.h"

namespace kvpress {
namespace {

std::string base64(const std::vector<std::uint8_t>& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // and the terminating zero that OpenSSL writes
  const int n =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(n));
  return text;
}

std::string rows_of(const KeptTokens& kept) {
  const auto row_bytes = static_cast<std::size_t>((kept.n_tokens + 7) / 8);
  std::vector<std::uint8_t> bytes(row_bytes * kept.heads.size());
  for (std::size_t row = 0; row < kept.heads.size(); ++row) {
    for (const std::int32_t it : kept.heads[row]) {
      const auto at = static_cast<std::size_t>(it);
      bytes[row * row_bytes + at / 8] = static_cast<std::uint8_t>(bytes[row * row_bytes + at / 8] | 1U << (at % 8));
    }
  }
  return base64(bytes);
}

/// What the summary says, in words.
Json facts_of(const KeptTokensRun& run) {
  const KeptSummary s = summary_of(run.kept);
  const std::string sizes = s.smallest == s.largest ? counted(s.largest, "token") + " each"
                                                    : fmt::format("{} to {} tokens", s.smallest, s.largest);
  Json facts = {
      {"kept", fmt::format("{:.1f} % of {}; heads hold {}", 100 * s.share, counted(run.kept.n_tokens, "token"), sizes)},
      {"in all heads", counted(s.by_all, "token")},
      {"in no head", counted(s.by_none, "token")},
      {"ends of the text", fmt::format("{:.1f} % of the first {}, {:.1f} % of the last {}", 100 * s.share_of_first,
                                       kFirstTokens, 100 * s.share_of_last, kLastTokens)},
      {"overlap of heads", fmt::format("{:.3f} within a layer, {:.3f} over all heads (Jaccard); {:.3f} by chance",
                                       s.overlap_in_layers, s.overlap, s.overlap_by_chance)}};
  if (!run.kept.windows.empty()) facts["not counted"] = windows_text(run.kept);
  return facts;
}

}  // namespace

std::string kept_tokens_json(const std::vector<KeptTokensRun>& runs) {
  std::map<std::vector<std::string>, std::size_t> texts;
  std::vector<std::string> text_parts;
  std::vector<std::string> run_parts;
  for (const KeptTokensRun& run : runs) {
    const auto [at, is_new] = texts.emplace(run.tokens, texts.size());
    if (is_new) text_parts.push_back(Json(run.tokens).dump(-1, ' ', false, Json::error_handler_t::replace));
    Json it = {
        {"name", valid_utf8(run.name())},     {"text", at->second},        {"n_layers", run.kept.n_layers},
        {"n_kv_heads", run.kept.n_kv_heads},  {"rows", rows_of(run.kept)}, {"facts", facts_of(run)},
        {"layer_axis", layer_axis(run.kept)}, {"layers", Json::array()},   {"counted", run.kept.counted_layers()}};
    for (std::int64_t l = 0; l < run.kept.n_layers; ++l) it["layers"].push_back(layer_name(run.kept, l));
    run_parts.push_back(it.dump());
  }
  return fmt::format("{{\"texts\":[{}],\"runs\":[{}],\"look\":{}}}", fmt::join(text_parts, ","),
                     fmt::join(run_parts, ","), heat_json().dump());
}

std::string kept_tokens_page(const std::vector<KeptTokensRun>& runs, const std::string& title) {
  std::set<std::string> models;
  for (const KeptTokensRun& it : runs) models.insert(it.model);
  std::string script = "'use strict';\n";
  for (const char* part : {"base.js", "heatmap.js"}) script += page_part(part);
  script += "showTheme();\nstartHeatmaps();\n";
  return filled(
      page_part("heatmap.html"),
      {{"TITLE", html_text(valid_utf8(title))},
       {"SUBTITLE", html_text(valid_utf8(fmt::format("{}; {}", fmt::join(models, ", "), counted(runs.size(), "run"))))},
       {"STYLE", std::string(page_part("report.css"))},
       {"HEATMAPS", std::string(page_part("heatmap_section.html"))},
       {"DATA", json_for_script(fmt::format("{{\"heatmaps\":{}}}", kept_tokens_json(runs)))},
       {"SCRIPT", script}});
}

}  // namespace kvpress
