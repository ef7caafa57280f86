#include "report/documents/run_document.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "kvpress/base/threads.h"
#include "kvpress/base/version.h"

namespace kvpress {
namespace {

Json describe(const OverTexts& it) { return {{"mean", it.mean}, {"ci95", it.ci95}, {"sd", it.sd}}; }

/// per_text and mean_over_texts.
void describe_texts(Json& json, const RunSummary& run) {
  if (!run.over_texts) return;
  for (const TextSummary& it : run.texts) {
    Json text{{"text", it.text},
              {"name", it.name},
              {"n_scored_tokens", it.n_scored},
              {"perplexity", it.perplexity},
              {"mean_nll", it.mean_nll}};
    if (run.quality) {
      text["delta_nll"] = it.delta_nll;
      text["kl_full"] = it.kl_full;
    }
    json["per_text"].push_back(std::move(text));
  }
  Json& over = json["mean_over_texts"];
  over["n_texts"] = run.texts.size();
  over["perplexity"] = describe(run.over_texts->perplexity);
  over["mean_nll"] = describe(run.over_texts->mean_nll);
  if (run.over_texts->delta_nll) over["delta_nll"] = describe(*run.over_texts->delta_nll);
  if (run.over_texts->kl_full) over["kl_full"] = describe(*run.over_texts->kl_full);
}

}  // namespace

void describe_budget(Json& json, const CompressionSettings& settings) {
  if (settings.compression_interval > 0) json["compression_interval"] = settings.compression_interval;
  const Budget& fixed = settings.compression_interval > 0 ? settings.decoding_budget : settings.budget;
  if (fixed.target_size) json["target_size"] = *fixed.target_size;
  if (fixed.bytes) json["budget"] = to_string(fixed);
  json["positions"] = to_string(settings.positions);
  if (settings.press_window_layers) json["press_window_layers"] = true;
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
  json["added_tokens"] = {{"before", info.before_text}, {"after", info.after_text}};
  json["load_sec"] = info.load_sec;
  json["tokenize_sec"] = info.tokenize_sec;
  json["version"] = version();
  json["cpu"] = cpu_name();
  if (protocol.protocol == Protocol::window) json["caveat"] = kWindowCaveat;
  return json;
}

Json describe_run(const RunSummary& run) {
  Json json;
  json["press"] = run.press;
  json["compression_ratio"] = run.compression_ratio;
  json["evicted_share"] = run.evicted_share;
  json["perplexity"] = run.perplexity;
  json["mean_nll"] = run.mean_nll;
  json["n_scored_tokens"] = run.n_scored;
  json["bits_per_byte"] = run.bits_per_byte;
  if (run.quality) {
    json["delta_nll"] = run.quality->delta_nll;
    json["delta_nll_ci95"] = run.quality->delta_nll_ci95;
    json["kl_full"] = run.quality->kl_full;
    json["kl_full_ci95"] = run.quality->kl_full_ci95;
    json["top1_agreement"] = run.quality->top1_agreement;
  }
  for (const CurvePoint& it : run.curve) {
    json["curve"].push_back(Json{{"from", it.from}, {"n_scored_tokens", it.n_scored}, {"perplexity", it.perplexity}});
  }
  json["cache_tokens"] = run.cache_tokens;
  json["cache_bytes"] = run.cache_bytes;
  json["cache_bytes_peak"] = run.cache_bytes_peak;
  json["cache_dtype"] = to_string(run.cache_format);
  json["peak_rss_bytes"] = run.peak_rss_bytes;
  json["runtime_sec"] = run.runtime();
  json["prefill_sec"] = run.times.prefill;
  json["compress_sec"] = run.times.compress;
  json["score_sec"] = run.times.score;
  json["total_runtime_sec"] = run.times.total();
  describe_texts(json, run);
  // The full cache compared with itself has nothing to pair, whether it was run once or again.
  const auto differs = [](const std::vector<double>& values) {
    return std::any_of(values.begin(), values.end(), [](double it) { return it != 0; });
  };
  if (run.quality && (differs(run.quality->units.kl) || differs(run.quality->units.delta_nll))) {
    const UnitMeans& units = run.quality->units;
    json["paired_units"] = {
        {"of", units.of_texts ? "texts" : "blocks"}, {"delta_nll", units.delta_nll}, {"kl_full", units.kl}};
  }
  return json;
}

}  // namespace kvpress
