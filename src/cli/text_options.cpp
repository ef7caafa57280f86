#include "kvpress/cli/text_options.h"

#include "kvpress/base/error.h"

namespace kvpress {

void TextOptions::add_to(CLI::App& command, const std::string& dataset_names) {
  CLI::Option* option =
      command
          .add_option(
              dataset_names, dataset,
              "wikitext, pg19, hf:ORG/NAME (whole, from the hub), or a .jsonl or .txt file, also .gz, .xz, .zst")
          ->capture_default_str();
  add_text_options(*this, command, option);
}

void add_text_options(TextOptions& options, CLI::App& command, CLI::Option* dataset) {
  command.add_option("--text", options.text, "A file, a quoted pattern ('books/*.txt'), or - for standard input")
      ->excludes(dataset);
  command.add_option("--dataset-config,--config", options.config, "Of the data set: wikitext-103-v1");
  command.add_option("--split", options.split, "Of the data set: test");
  command.add_option("--rows", options.rows, "joined: one text; apart: each its own; auto: apart if they are books")
      ->capture_default_str();
  command.add_option("--text-column", options.column, "Of the rows, what holds the text")->capture_default_str();
  command.add_option("--max-samples", options.max_samples, "Rows or books to take; 0: all")->capture_default_str();
}

void TextOptions::check() const {
  if (max_samples < 0) fail_usage("--max-samples: {} is negative; 0 takes all", max_samples);
  parse_rows_as(rows, "--rows");
}

TextRequest TextOptions::request() const {
  return {.name = text.empty() ? dataset : text,
          .config = config,
          .split = split,
          .max_samples = max_samples,
          .column = column,
          .rows = parse_rows_as(rows, "--rows"),
          .is_file = !text.empty()};
}

}  // namespace kvpress
