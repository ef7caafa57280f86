#include "kvpress/report/documents/outcome_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/counted.h"
#include "report/documents/paired_table.h"
#include "report/documents/ranking.h"
#include "report/documents/text_table.h"

namespace kvpress {
namespace {

std::size_t press_width(std::span<const RunSummary> runs) {
  std::size_t width = 5;
  for (const RunSummary& run : runs) width = std::max(width, run.press.size());
  return width;
}

/// "3.101 [2.9, 3.3], sd 0.1000"
std::string over_texts_cell(const std::optional<OverTexts>& it, bool with_sign) {
  if (!it) return "-";
  const auto number = [&](double value) {
    return with_sign ? fmt::format("{:+.4f}", value) : fmt::format("{:.3f}", value);
  };
  return fmt::format("{} [{}, {}], sd {:.4f}", number(it->mean), number(it->ci95[0]), number(it->ci95[1]), it->sd);
}

}  // namespace

std::string outcome_table(std::span<const RunSummary> runs) {
  // What was evicted stands beside what was asked for wherever it is something else.
  const bool measured = std::any_of(
      runs.begin(), runs.end(), [](const RunSummary& it) { return differs(it.compression_ratio, it.evicted_share); });
  std::vector<std::vector<std::string>> rows = {{"press", "ratio"}};
  if (measured) rows.front().emplace_back("evicted");
  rows.front().insert(rows.front().end(), {"perplexity", "delta NLL [95 % interval]", "KL [95 % interval]", "top-1 %",
                                           "cache tokens", "cache MiB", "prefill s", "compress s", "score s"});
  for (const RunSummary& run : runs) {
    std::vector<std::string>& row = rows.emplace_back();
    row = {run.press, fmt::format("{:.2f}", run.compression_ratio)};
    if (measured) row.push_back(fmt::format("{:.2f}", run.evicted_share));
    row.push_back(fmt::format("{:.3f}", run.perplexity));
    if (run.quality) {
      const Quality& it = *run.quality;
      row.push_back(
          fmt::format("{:+.4f} [{:+.4f}, {:+.4f}]", it.delta_nll, it.delta_nll_ci95[0], it.delta_nll_ci95[1]));
      row.push_back(fmt::format("{:.4f} [{:.4f}, {:.4f}]", it.kl_full, it.kl_full_ci95[0], it.kl_full_ci95[1]));
      row.push_back(fmt::format("{:.1f}", 100 * it.top1_agreement));
    } else {
      row.insert(row.end(), {"-", "-", "-"});
    }
    row.insert(row.end(), {fmt::format("{:.1f}", run.cache_tokens),
                           fmt::format("{:.2f}", static_cast<double>(run.cache_bytes) / (1 << 20)),
                           fmt::format("{:.3f}", run.times.prefill), fmt::format("{:.3f}", run.times.compress),
                           fmt::format("{:.3f}", run.times.score)});
  }
  const std::string paired = paired_text(ranked(runs));
  return aligned(rows) + (paired.empty() ? "" : "\n" + paired);
}

std::string texts_table(std::span<const RunSummary> runs) {
  if (runs.empty() || runs.front().texts.empty()) return "";
  /// More would hide the rest; the JSON document has them all.
  constexpr std::size_t kMostTexts = 25;
  const std::vector<TextSummary>& texts = runs.front().texts;
  const std::size_t width = press_width(runs);
  std::string table = fmt::format(
      "\nover {} texts, each counted once: mean [95 % interval], standard deviation over texts\n", texts.size());
  table += fmt::format("{:<{}}  {:<40}  {}\n", "press", width, "perplexity", "delta NLL");
  for (const RunSummary& run : runs) {
    table += fmt::format("{:<{}}  {:<40}  {}\n", run.press, width, over_texts_cell(run.over_texts->perplexity, false),
                         over_texts_cell(run.over_texts->delta_nll, true));
  }

  table += fmt::format("\n{:<32}  {:>7}", "perplexity of each text", "tokens");
  for (const RunSummary& run : runs) table += fmt::format("  {:>10}", run.press);
  table += '\n';
  for (std::size_t i = 0; i < std::min(texts.size(), kMostTexts); ++i) {
    std::string name = texts[i].name;
    if (name.size() > 32) name = "..." + name.substr(name.size() - 29);
    table += fmt::format("{:<32}  {:>7}", name, texts[i].n_scored);
    for (const RunSummary& run : runs) {
      table += fmt::format("  {:>{}.3f}", run.texts[i].perplexity, std::max<std::size_t>(10, run.press.size()));
    }
    table += '\n';
  }
  if (texts.size() > kMostTexts) {
    table += fmt::format("... and {} more\n", counted(texts.size() - kMostTexts, "text"));
  }
  return table;
}

namespace {

/// "a and b", "a, b and c"
std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  }
  return text;
}

std::string described(const RunSummary& run) {
  return fmt::format(
      "{} (KL {:.4f} nats, {:+.4f} nats per token, agrees with the full cache on the most likely next token {:.1f} % "
      "of the time)",
      run.press, run.quality->kl_full, run.quality->delta_nll, 100 * run.quality->top1_agreement);
}

/// The others whose KL cannot be told from that of `run`.
std::vector<std::string> tied_with(const RankedGroup& group, const RunSummary& run) {
  std::vector<std::string> names;
  for (const RunSummary* it : group.runs) {
    if (it == &run || !same_units(it->quality->units, run.quality->units)) continue;
    const PairedDifference difference = paired_difference(it->quality->units, run.quality->units);
    if (difference.has_interval && PairedDifference::tied(difference.kl)) names.push_back(it->press);
  }
  return names;
}

std::string sentence_of(const RankedGroup& group) {
  const RunSummary& best = *group.runs.front();
  const RunSummary& worst = *group.runs.back();
  if (group.runs.size() == 1) {
    return fmt::format("With {} of the cache evicted there is only {}.", group.share(), described(best));
  }
  std::string text = fmt::format("With {} of the cache evicted, ", group.share());
  const std::vector<std::string> tied = tied_with(group, best);
  if (tied.size() + 1 == group.runs.size()) {
    text += fmt::format("{} and {} are tied", described(best), listed(tied));
  } else {
    text += fmt::format("{} is nearest to the full cache", described(best));
    if (!tied.empty()) text += fmt::format(", tied with {}", listed(tied));
    text += fmt::format("; {} is farthest from it", described(worst));
    if (const auto last = tied_with(group, worst); !last.empty()) text += fmt::format(", tied with {}", listed(last));
  }
  if (best.quality->units.kl.size() < 2) text += "; the text is too short to say whether they differ";
  return text + ".";
}

}  // namespace

std::string outcome_sentence(std::span<const RunSummary> runs) {
  std::string text;
  for (const RankedGroup& group : ranked(runs)) {
    if (!text.empty()) text += '\n';
    text += sentence_of(group);
  }
  std::vector<std::string> idle;
  for (const RunSummary& it : runs) {
    if (it.quality && it.compression_ratio >= kKeptEverything && it.evicted_share < kKeptEverything) {
      idle.push_back(it.press);
    }
  }
  if (!idle.empty()) {
    text += fmt::format("{}{} evicted nothing, whatever was asked for, and {} not ranked.", text.empty() ? "" : "\n",
                        listed(idle), idle.size() == 1 ? "is" : "are");
  }
  return text;
}

}  // namespace kvpress
