#include "kvpress/report/documents/outcome_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

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
  const std::size_t width = press_width(runs);
  std::string table = fmt::format(
      "{:<{}}  ratio  perplexity  delta NLL [95 % interval]      KL  top-1 %  cache tokens  cache MiB  prefill s  "
      "compress s  score s\n",
      "press", width);
  for (const RunSummary& run : runs) {
    std::string delta = "-";
    std::string kl = "-";
    std::string top = "-";
    if (run.quality) {
      const auto& [low, high] = run.quality->delta_nll_ci95;
      delta = fmt::format("{:+.4f} [{:+.4f}, {:+.4f}]", run.quality->delta_nll, low, high);
      kl = fmt::format("{:.4f}", run.quality->kl_full);
      top = fmt::format("{:.1f}", 100 * run.quality->top1_agreement);
    }
    table += fmt::format(
        "{:<{}}  {:>5.2f}  {:>10.3f}  {:>26}  {:>6}  {:>7}  {:>12.1f}  {:>9.2f}  {:>9.3f}  {:>10.3f}  {:>7.3f}\n",
        run.press, width, run.compression_ratio, run.perplexity, delta, kl, top, run.cache_tokens,
        static_cast<double>(run.cache_bytes) / (1 << 20), run.times.prefill, run.times.compress, run.times.score);
  }
  return table;
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
  if (texts.size() > kMostTexts) table += fmt::format("... and {} more\n", texts.size() - kMostTexts);
  return table;
}

std::string outcome_sentence(std::span<const RunSummary> runs) {
  const RunSummary* best = nullptr;
  const RunSummary* worst = nullptr;
  for (const RunSummary& run : runs) {
    if (!run.quality || run.compression_ratio == 0.0) continue;
    if (best == nullptr || run.quality->kl_full < best->quality->kl_full) best = &run;
    if (worst == nullptr || run.quality->kl_full > worst->quality->kl_full) worst = &run;
  }
  if (best == nullptr) return "";
  const auto described = [](const RunSummary& run) {
    return fmt::format(
        "{} (KL {:.4f} nats, {:+.4f} nats per token, agrees with the full cache on the most likely next token {:.1f} % "
        "of the time)",
        run.press, run.quality->kl_full, run.quality->delta_nll, 100 * run.quality->top1_agreement);
  };
  std::string sentence = fmt::format("With {:.0f} % of the cache evicted, {} is nearest to the full cache",
                                     100 * best->compression_ratio, described(*best));
  if (best != worst) sentence += fmt::format("; {} is farthest from it", described(*worst));
  return sentence + ".";
}

}  // namespace kvpress
