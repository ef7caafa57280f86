#include "report/documents/per_token.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "kvpress/base/error.h"
#include "report/documents/csv.h"
#include "report/documents/npz.h"

namespace kvpress {

PerToken::PerToken(const std::vector<TokenizedText>& texts, const RunResult& full)
    : places_(places_of(full)), tokens_(full.targets), full_(full.nll) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    texts_.push_back(texts[i].name.empty() ? fmt::format("text {}", i) : texts[i].name);
  }
}

void PerToken::add(const Outcome& outcome) {
  if (outcome.run.nll.size() != full_.size()) fail("a run scored other tokens than the full cache's");
  std::string name = fmt::format("{} {:.4g}", outcome.press, outcome.compression_ratio);
  if (outcome.run.cache_format.bits > 0) name += fmt::format(" {}", to_string(outcome.run.cache_format));
  const std::string plain = name;
  for (int i = 2; std::find(runs_.begin(), runs_.end(), name) != runs_.end(); ++i)
    name = fmt::format("{} ({})", plain, i);
  runs_.push_back(std::move(name));
  nll_.insert(nll_.end(), outcome.run.nll.begin(), outcome.run.nll.end());
  kl_.insert(kl_.end(), outcome.comparison.kl_by_token.begin(), outcome.comparison.kl_by_token.end());
  kl_.resize(nll_.size(), 0.0f);  // of the full cache itself
}

std::string PerToken::npz() const {
  std::vector<std::int64_t> text;
  std::vector<std::int64_t> position;
  for (const TokenPlace& it : places_) {
    text.push_back(it.text);
    position.push_back(it.position);
  }
  const std::size_t n = tokens_.size();
  NpzWriter writer;
  writer.add("texts", texts_);
  writer.add("runs", runs_);
  writer.add("text", text, {n});
  writer.add("position", position, {n});
  writer.add("token_id", tokens_, {n});
  writer.add("nll_full", full_, {n});
  writer.add("nll", nll_, {runs_.size(), n});
  writer.add("kl", kl_, {runs_.size(), n});
  return writer.finish();
}

std::string PerToken::csv() const {
  std::string csv = "text,position,token_id,nll_full";
  for (const std::string& it : runs_) csv += fmt::format(",{},{}", csv_cell("nll " + it), csv_cell("kl " + it));
  csv += "\n";
  std::vector<std::string> names;
  for (const std::string& it : texts_) names.push_back(csv_cell(it));
  const std::size_t n = tokens_.size();
  for (std::size_t i = 0; i < n; ++i) {
    csv += fmt::format("{},{},{},{}", names[static_cast<std::size_t>(places_[i].text)], places_[i].position, tokens_[i],
                       full_[i]);
    for (std::size_t run = 0; run < runs_.size(); ++run)
      csv += fmt::format(",{},{}", nll_[run * n + i], kl_[run * n + i]);
    csv += "\n";
  }
  return csv;
}

void PerToken::write(const std::filesystem::path& path) const {
  write_file(path, path.extension() == ".npz" ? npz() : csv());
}

void check_per_token_file(const std::filesystem::path& path, const std::string& setting) {
  if (path.empty()) return;
  if (path.extension() != ".npz" && path.extension() != ".csv") {
    fail_usage("{}: '{}' has an unknown extension; use .npz (for numpy.load) or .csv", setting, path.string());
  }
  check_can_write(path);
}

}  // namespace kvpress
