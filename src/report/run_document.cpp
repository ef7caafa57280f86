#include "kvpress/report/run_document.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "kvpress/base/threads.h"
#include "kvpress/base/version.h"
#include "kvpress/eval/per_text.h"

namespace kvpress {
namespace {

/// Places of a stretch of the perplexity's curve.
constexpr std::int64_t kCurveStep = 4096;

/// per_text and mean_over_texts; `comparison` is null for the full cache.
void describe_texts(Json& json, const RunResult& run, const ExperimentInfo& info, const Comparison* comparison) {
  if (info.text_names.size() < 2) return;
  const std::vector<ScoredText> texts = scored_texts(run);
  std::vector<double> perplexities;
  std::vector<double> nlls;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto first = run.nll.begin() + static_cast<std::ptrdiff_t>(texts[i].first);
    const auto last = first + static_cast<std::ptrdiff_t>(texts[i].count);
    nlls.push_back(std::accumulate(first, last, 0.0) / static_cast<double>(texts[i].count));
    perplexities.push_back(std::exp(nlls.back()));
    Json text{{"text", texts[i].text},
              {"name", info.text_names[static_cast<std::size_t>(texts[i].text)]},
              {"n_scored_tokens", texts[i].count},
              {"perplexity", perplexities.back()},
              {"mean_nll", nlls.back()}};
    if (comparison != nullptr) {
      text["delta_nll"] = comparison->delta_nll_by_text[i];
      text["kl_full"] = comparison->kl_by_text[i];
    }
    json["per_text"].push_back(std::move(text));
  }
  Json& over = json["mean_over_texts"];
  over["n_texts"] = texts.size();
  const auto add = [&](const char* key, std::span<const double> values) {
    const OverTexts it = over_texts(values);
    over[key] = Json{{"mean", it.mean}, {"ci95", it.ci95}, {"sd", it.sd}};
  };
  add("perplexity", perplexities);
  add("mean_nll", nlls);
  if (comparison != nullptr) {
    add("delta_nll", comparison->delta_nll_by_text);
    add("kl_full", comparison->kl_by_text);
  }
}

Json describe(const std::string& press, double compression_ratio, const RunResult& run, const ExperimentInfo& info,
              const Comparison* comparison) {
  Json json;
  json["press"] = press;
  json["compression_ratio"] = compression_ratio;
  json["perplexity"] = run.perplexity();
  json["mean_nll"] = run.mean_nll();
  json["n_scored_tokens"] = run.nll.size();
  json["bits_per_byte"] = run.bits_per_byte();
  if (comparison != nullptr) {
    json["delta_nll"] = comparison->delta_nll;
    json["delta_nll_ci95"] = comparison->delta_nll_ci95;
    json["kl_full"] = comparison->kl_full;
    json["top1_agreement"] = comparison->top1_agreement;
  }
  const std::vector<CurvePoint> curve = perplexity_curve(run, kCurveStep);
  if (curve.size() > 1) {
    for (const CurvePoint& it : curve) {
      json["curve"].push_back(Json{{"from", it.from}, {"n_scored_tokens", it.n_scored}, {"perplexity", it.perplexity}});
    }
  }
  json["cache_tokens"] = run.cache_tokens;
  json["cache_bytes"] = run.cache_bytes;
  json["cache_bytes_peak"] = run.cache_bytes_peak;
  json["cache_dtype"] = to_string(run.cache_format);
  json["peak_rss_bytes"] = run.peak_rss_bytes;
  json["runtime_sec"] = info.prefill_only ? run.times.prefill + run.times.compress : run.times.total();
  json["prefill_sec"] = run.times.prefill;
  json["compress_sec"] = run.times.compress;
  json["score_sec"] = run.times.score;
  json["total_runtime_sec"] = run.times.total();
  describe_texts(json, run, info, comparison);
  return json;
}

}  // namespace

ExperimentInfo experiment_info(const LoadedModel& loaded, const PreparedTexts& texts, const RunSettings& settings,
                               bool prefill_only) {
  ExperimentInfo info;
  info.model = loaded.name;
  info.dataset = texts.name;
  info.dtype = loaded.model->numbers();
  info.settings = settings;
  if (!settings.protocol.splits_text()) {
    info.settings.protocol.context_tokens =
        context_of(settings.protocol, static_cast<std::int64_t>(texts.texts.front().ids.size()));
  }
  info.n_tokens = progress_total(texts.texts);
  for (const TokenizedText& it : texts.texts) info.text_names.push_back(it.name);
  info.prefill_only = prefill_only;
  info.load_sec = loaded.load_sec;
  info.tokenize_sec = texts.tokenize_sec;
  return info;
}

void describe_budget(Json& json, const CompressionSettings& settings) {
  if (settings.compression_interval > 0) json["compression_interval"] = settings.compression_interval;
  const Budget& fixed = settings.compression_interval > 0 ? settings.decoding_budget : settings.budget;
  if (fixed.target_size) json["target_size"] = *fixed.target_size;
  if (fixed.bytes) json["budget"] = to_string(fixed);
  json["positions"] = to_string(settings.positions);
}

Json describe_experiment(const ExperimentInfo& info) {
  const ProtocolSettings& protocol = info.settings.protocol;
  const CompressionSettings& compression = info.settings.compression;
  Json json;
  json["model"] = info.model;
  json["dataset"] = info.dataset;
  json["protocol"] = to_string(protocol.protocol);
  switch (protocol.protocol) {
    case Protocol::window:
      json["max_length"] = protocol.max_length;
      json["stride"] = protocol.stride;
      break;
    case Protocol::chunked:
      json["max_length"] = protocol.max_length;
      json["chunk_size"] = protocol.chunk_size;
      break;
    case Protocol::continuation:
    case Protocol::decode:
      json["context_tokens"] = protocol.context_tokens;
      break;
  }
  describe_budget(json, compression);
  json["dtype"] = info.dtype;
  json["cache_dtype"] = to_string(compression.cache_format);
  json["threads"] = threads();
  json["seed"] = compression.seed;
  json["n_tokens"] = info.n_tokens;
  json["load_sec"] = info.load_sec;
  json["tokenize_sec"] = info.tokenize_sec;
  json["version"] = version();
  json["cpu"] = cpu_name();
  if (protocol.protocol == Protocol::window) json["caveat"] = kWindowCaveat;
  return json;
}

Json describe_run(const std::string& press, double compression_ratio, const RunResult& run,
                  const ExperimentInfo& info) {
  return describe(press, compression_ratio, run, info, nullptr);
}

Json describe_outcome(const Outcome& outcome, const ExperimentInfo& info) {
  return describe(outcome.press, outcome.compression_ratio, outcome.run, info, &outcome.comparison);
}

std::string outcome_table(const std::vector<Json>& runs) {
  std::size_t width = 5;
  for (const Json& run : runs) width = std::max(width, run["press"].get_ref<const std::string&>().size());
  std::string table = fmt::format(
      "{:<{}}  ratio  perplexity  delta NLL [95 % interval]      KL  top-1 %  cache tokens  cache MiB  prefill s  "
      "compress s  score s\n",
      "press", width);
  for (const Json& run : runs) {
    std::string delta = "-";
    std::string kl = "-";
    std::string top = "-";
    if (run.contains("delta_nll")) {
      delta = fmt::format("{:+.4f} [{:+.4f}, {:+.4f}]", run["delta_nll"].get<double>(),
                          run["delta_nll_ci95"][0].get<double>(), run["delta_nll_ci95"][1].get<double>());
      kl = fmt::format("{:.4f}", run["kl_full"].get<double>());
      top = fmt::format("{:.1f}", 100 * run["top1_agreement"].get<double>());
    }
    table += fmt::format(
        "{:<{}}  {:>5.2f}  {:>10.3f}  {:>26}  {:>6}  {:>7}  {:>12.1f}  {:>9.2f}  {:>9.3f}  {:>10.3f}  {:>7.3f}\n",
        run["press"].get_ref<const std::string&>(), width, run["compression_ratio"].get<double>(),
        run["perplexity"].get<double>(), delta, kl, top, run["cache_tokens"].get<double>(),
        run["cache_bytes"].get<double>() / (1 << 20), run["prefill_sec"].get<double>(),
        run["compress_sec"].get<double>(), run["score_sec"].get<double>());
  }
  return table;
}

std::string texts_table(const std::vector<Json>& runs) {
  if (runs.empty() || !runs.front().contains("per_text")) return "";
  /// More would hide the rest; the JSON document has them all.
  constexpr std::size_t kMostTexts = 25;
  const Json& texts = runs.front()["per_text"];
  std::size_t width = 5;
  for (const Json& run : runs) width = std::max(width, run["press"].get_ref<const std::string&>().size());

  const auto measure = [](const Json& run, const char* key, bool with_sign) {
    if (!run["mean_over_texts"].contains(key)) return std::string("-");
    const Json& it = run["mean_over_texts"][key];
    const auto number = [&](const Json& value) {
      return with_sign ? fmt::format("{:+.4f}", value.get<double>()) : fmt::format("{:.3f}", value.get<double>());
    };
    return fmt::format("{} [{}, {}], sd {:.4f}", number(it["mean"]), number(it["ci95"][0]), number(it["ci95"][1]),
                       it["sd"].get<double>());
  };
  std::string table = fmt::format(
      "\nover {} texts, each counted once: mean [95 % interval], standard deviation over texts\n", texts.size());
  table += fmt::format("{:<{}}  {:<40}  {}\n", "press", width, "perplexity", "delta NLL");
  for (const Json& run : runs) {
    table += fmt::format("{:<{}}  {:<40}  {}\n", run["press"].get_ref<const std::string&>(), width,
                         measure(run, "perplexity", false), measure(run, "delta_nll", true));
  }

  table += fmt::format("\n{:<32}  {:>7}", "perplexity of each text", "tokens");
  for (const Json& run : runs) table += fmt::format("  {:>10}", run["press"].get_ref<const std::string&>());
  table += '\n';
  for (std::size_t i = 0; i < std::min(texts.size(), kMostTexts); ++i) {
    std::string name = texts[i]["name"].get<std::string>();
    if (name.size() > 32) name = "..." + name.substr(name.size() - 29);
    table += fmt::format("{:<32}  {:>7}", name, texts[i]["n_scored_tokens"].get<std::int64_t>());
    for (const Json& run : runs) {
      const auto column = std::max<std::size_t>(10, run["press"].get_ref<const std::string&>().size());
      table += fmt::format("  {:>{}.3f}", run["per_text"][i]["perplexity"].get<double>(), column);
    }
    table += '\n';
  }
  if (texts.size() > kMostTexts) table += fmt::format("... and {} more\n", texts.size() - kMostTexts);
  return table;
}

std::string outcome_sentence(const std::vector<Json>& runs) {
  const Json* best = nullptr;
  const Json* worst = nullptr;
  for (const Json& run : runs) {
    if (!run.contains("kl_full") || run["compression_ratio"].get<double>() == 0.0) continue;
    if (best == nullptr || run["kl_full"] < (*best)["kl_full"]) best = &run;
    if (worst == nullptr || run["kl_full"] > (*worst)["kl_full"]) worst = &run;
  }
  if (best == nullptr) return "";
  const auto told = [](const Json& run) {
    return fmt::format(
        "{} (KL {:.4f} nats, {:+.4f} nats per token, agrees with the full cache on the most likely next token {:.1f} % "
        "of the time)",
        run["press"].get<std::string>(), run["kl_full"].get<double>(), run["delta_nll"].get<double>(),
        100 * run["top1_agreement"].get<double>());
  };
  std::string sentence = fmt::format("With {:.0f} % of the cache evicted, {} is nearest to the full cache",
                                     100 * (*best)["compression_ratio"].get<double>(), told(*best));
  if (best != worst) sentence += fmt::format("; {} is farthest from it", told(*worst));
  return sentence + ".";
}

}  // namespace kvpress
