#include "report/documents/paired_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/counted.h"
#include "report/documents/csv.h"
#include "report/documents/text_table.h"

namespace kvpress {
namespace {

/// "+0.0123 [+0.0011, +0.0235]", or with ", tied".
std::string cell(const OverTexts& it, bool has_interval) {
  if (!has_interval) return fmt::format("{:+.4f}", it.mean);
  return fmt::format("{:+.4f} [{:+.4f}, {:+.4f}]{}", it.mean, it.ci95[0], it.ci95[1],
                     PairedDifference::tied(it) ? ", tied" : "");
}

/// The units of the first comparison; null if there is none.
const UnitMeans* units_of(std::span<const RankedGroup> groups) {
  for (const RankedGroup& group : groups) {
    for (const RunSummary* it : group.runs) {
      if (group.difference(*it)) return &it->quality->units;
    }
  }
  return nullptr;
}

}  // namespace

std::vector<std::vector<std::string>> paired_rows(std::span<const RankedGroup> groups) {
  if (units_of(groups) == nullptr) return {};
  const auto all = [&](auto&& test) {
    return std::all_of(groups.begin(), groups.end(), [&](const RankedGroup& group) {
      return std::all_of(group.runs.begin(), group.runs.end(), [&](const auto* it) { return test(*it); });
    });
  };
  // Presses in several formats of the cache are told apart.
  const CacheFormat format = groups.front().runs.front()->cache_format;
  const bool formats = !all([&](const RunSummary& it) { return it.cache_format == format; });
  const auto name = [&](const RunSummary& it) {
    return formats ? fmt::format("{}, {}", it.press, to_string(it.cache_format)) : it.press;
  };
  std::vector<std::vector<std::string>> rows = {{"press", "evicted", "against", "KL", "delta NLL"}};
  for (const RankedGroup& group : groups) {
    bool first = true;
    for (const RunSummary* it : group.runs) {
      const auto difference = group.difference(*it);
      if (!difference) continue;
      if (first && rows.size() > 1) rows.emplace_back();
      first = false;
      rows.push_back({name(*it), fmt::format("{:.2f}", it->evicted_share), name(*group.reference),
                      cell(difference->kl, difference->has_interval),
                      cell(difference->delta_nll, difference->has_interval)});
    }
  }
  return rows;
}

std::string paired_heading(std::span<const RankedGroup> groups) {
  const UnitMeans* units = units_of(groups);
  if (units == nullptr) return "";
  const std::string over =
      units->of_texts ? counted(units->kl.size(), "text") : counted(units->kl.size(), "block") + " of 64 tokens";
  if (units->kl.size() < 2) {
    return fmt::format(
        "Differences of runs that evicted the same share (within {:g}); on {} there is no interval:", kSameShare, over);
  }
  return fmt::format(
      "Differences of runs that evicted the same share (within {:g}), paired over {}, with 95 % intervals:", kSameShare,
      over);
}

std::string paired_text(std::span<const RankedGroup> groups) {
  const auto rows = paired_rows(groups);
  return rows.empty() ? "" : paired_heading(groups) + "\n" + aligned(rows);
}

Json paired_json(std::span<const RankedGroup> groups, const RunSummary& run) {
  for (const RankedGroup& group : groups) {
    if (std::find(group.runs.begin(), group.runs.end(), &run) == group.runs.end()) continue;
    const auto difference = group.difference(run);
    if (!difference) return nullptr;
    Json json = {{"against", group.reference->press}, {"compression_ratio", group.reference->compression_ratio}};
    const auto add = [&](const std::string& key, const OverTexts& it) {
      json[key] = it.mean;
      json[key + "_ci95"] = difference->has_interval ? Json(it.ci95) : Json(nullptr);
      json[key + "_tied"] = difference->has_interval ? Json(PairedDifference::tied(it)) : Json(nullptr);
    };
    add("delta_nll", difference->delta_nll);
    add("kl", difference->kl);
    return json;
  }
  return nullptr;
}

std::string paired_csv_names() {
  return ",against,against_kl,against_kl_low,against_kl_high,against_delta_nll,against_delta_nll_low,"
         "against_delta_nll_high";
}

std::string paired_csv(const Json& paired) {
  if (paired.is_null()) return ",,,,,,,";
  std::string csv = fmt::format(",{}", csv_cell(paired["against"].get<std::string>()));
  for (const std::string key : {"kl", "delta_nll"}) {
    csv += fmt::format(",{}", paired[key].dump());
    const Json& interval = paired[key + "_ci95"];
    csv += interval.is_null() ? ",," : fmt::format(",{},{}", interval[0].dump(), interval[1].dump());
  }
  return csv;
}

}  // namespace kvpress
