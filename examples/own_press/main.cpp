// The press in value_norm.cpp beside two of the library's, on the demo model and the texts that ship.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "kvpress/base/error.h"
#include "kvpress/eval/experiment.h"
#include "kvpress/eval/text_input.h"
#include "kvpress/formats/model_files.h"
#include "kvpress/press/registry.h"
#include "kvpress/report/run_document.h"
#include "kvpress/tokenizer/tokenizer.h"

namespace kvpress {
extern const PressEntry kValueNormPress;
}

int main(int argc, char** argv) {
  using namespace kvpress;
  try {
    register_press(kValueNormPress);
    auto files = std::make_shared<ModelFiles>(open_model_files(argc > 1 ? argv[1] : "demo"));
    const Tokenizer tokenizer = Tokenizer::from_json(files->tokenizer_json);
    Model model(files, {false, DType::f32});
    RunSettings settings;
    settings.protocol.protocol = Protocol::continuation;
    Experiment experiment(model, tokenize_texts(tokenizer, load_texts({"wikitext", "", "", 16}), 1024), settings);
    std::vector<Json> rows;
    for (const char* press : {"random", "knorm", "value_norm", "adakv(value_norm(n_recent=32))"}) {
      const NamedPress named = parse_press(press);
      named.prepare({model.config(), "demo", &tokenizer});
      rows.push_back(describe_outcome(experiment.run(named, 0.5), {}));
    }
    fmt::print("{}", outcome_table(rows));
    return 0;
  } catch (const Error& error) {
    fmt::print(stderr, "own_press: {}\n", error.what());
    return 1;
  }
}
