// The press in value_norm.cpp beside two of the library's, on a model (demo) and the texts that ship.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <vector>

#include "kvpress/engine/open_model.h"
#include "kvpress/eval/run_summary.h"
#include "kvpress/formats/text_dataset.h"
#include "kvpress/press/registry.h"
#include "kvpress/report/documents/outcome_table.h"

namespace kvpress {
extern const PressEntry kValueNormPress;
}

int main(int argc, char** argv) try {
  using namespace kvpress;
  register_press(kValueNormPress);
  const OpenedModel opened = open_model(argc > 1 ? argv[1] : "demo");
  const Tokenizer tokenizer = opened.tokenizer();
  constexpr std::int64_t kTokens = 1024;
  const LoadedModel loaded = load_model(opened, {}, kTokens, kTokens);
  RunSettings settings;
  settings.protocol.protocol = Protocol::continuation;
  settings.compression.cache_format = loaded.cache_format;
  Experiment experiment(
      *loaded.model, tokenize_texts(tokenizer, load_texts({.name = "wikitext", .max_samples = 16}), kTokens), settings);
  std::vector<RunSummary> rows;
  for (const char* press : {"random", "knorm", "value_norm", "adakv(value_norm(n_recent=32))"}) {
    const NamedPress named = parse_press(press);
    opened.prepare(named, &tokenizer);
    rows.push_back(summary_of(experiment.run(named, 0.5), {}));
  }
  fmt::print("{}", outcome_table(rows));
} catch (const std::exception& error) {
  fmt::print(stderr, "own_press: {}\n", error.what());
  return 1;
}
