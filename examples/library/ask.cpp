// Reads a document under a press, then asks it two questions, which do not see each other.
//   build/ask demo book.txt "Who keeps the light?" "And the parrot?"
#include <fmt/format.h>

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"
#include "kvpress/engine/generate.h"
#include "kvpress/engine/open_model.h"
#include "kvpress/formats/text_dataset.h"

int main(int argc, char** argv) try {
  using namespace kvpress;
  if (argc < 4) fail_usage("usage: ask MODEL DOCUMENT QUESTION [QUESTION ...]");
  const OpenedModel opened = open_model(argv[1]);
  const Tokenizer tokenizer = opened.tokenizer();
  const std::vector<std::int32_t> document = tokenizer.encode(read_text_file(argv[2]));

  CompressionSettings settings;
  settings.press = parse_press("snapkv");
  settings.budget = parse_budget("0.5", "budget");  // or "2048" tokens, or "64MiB"
  opened.prepare(settings.press, &tokenizer);
  const auto n = static_cast<std::int64_t>(document.size());
  const LoadedModel loaded = load_model(opened, {}, n, n);
  settings.cache_format = loaded.cache_format;

  Sequence sequence(*loaded.model, settings);
  sequence.append(document);
  fmt::print("{} tokens, of which the cache holds {:.0f} a head in {}\n", sequence.n_tokens(), sequence.cache_tokens(),
             format_bytes(static_cast<double>(sequence.cache_bytes())));
  sequence.begin_decoding();
  const Sequence::Mark end_of_document = sequence.mark();
  for (int i = 3; i < argc; ++i) {
    sequence.append(tokenizer.encode(fmt::format("\n{}\n", argv[i])));
    fmt::print("{}\n  {}\n", argv[i], tokenizer.decode(generate(sequence, {.max_new_tokens = 32}).ids));
    sequence.rewind(end_of_document);
  }
} catch (const kvpress::Error& error) {
  fmt::print(stderr, "ask: {}\n", error.what());
  return 1;
}
