// Ten tokens, two layers of two heads, that keep different numbers of them.
#pragma once

#include "report/documents/kept_tokens_document.h"

namespace kvpress::test {

inline KeptTokensRun example_run() {
  KeptTokensRun run;
  run.press = "snapkv";
  run.compression_ratio = 0.5;
  run.model = "demo";
  run.dataset = "wikitext";
  run.chunk_size = 4;
  run.tokens = {"</script>", " the", "<b>cat</b>", "\n", "<0xE2><0x82>", "<0xAC>", " \xe2\x82\xac", "\"", "&amp;", "."};
  run.kept = {10, 2, 2, {{0, 1, 2, 8, 9}, {0, 3, 4, 5, 6, 9}, {0, 9}, {0, 2, 4, 6, 7}}};
  return run;
}

}  // namespace kvpress::test
