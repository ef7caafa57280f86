// A small sweep, and its outcome in a form that two ways of doing it can be compared by.
#pragma once

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <map>
#include <string>

#include "cli/program.h"

namespace kvpress::test {

/// About thirty runs of a few hundredths of a second each.
inline const std::string kPlan =
    "-m demo --datasets wikitext_ppl --max-samples 8 --max-tokens 400 --max-length 200 --chunk-size 50 "
    "--presses 'knorm,random,snapkv(window_size=8)' --ratios 0:0.9:0.1 --threads 1";

/// Every run's numbers but those that a clock or the state of the machine makes.
inline std::map<std::string, nlohmann::json> results(const std::filesystem::path& folder) {
  std::map<std::string, nlohmann::json> runs;
  for (const auto& it : std::filesystem::directory_iterator(folder)) {
    if (!it.is_directory()) continue;
    nlohmann::json metrics = nlohmann::json::parse(content_of(it.path() / "metrics.json"));
    for (const char* key :
         {"runtime_sec", "prefill_sec", "compress_sec", "score_sec", "total_runtime_sec", "peak_rss_bytes"}) {
      metrics.erase(key);
    }
    metrics["predictions"] = content_of(it.path() / "predictions.csv");
    EXPECT_TRUE(std::filesystem::exists(it.path() / "config.yaml")) << it.path();
    runs[it.path().filename().string()] = metrics;
  }
  return runs;
}

}  // namespace kvpress::test
