#include "cli/text_options.h"

#include <algorithm>
#include <vector>

#include "base/closest.h"
#include "kvpress/base/error.h"
#include "kvpress/eval/text_input.h"
#include "kvpress/tokenizer/chat_template.h"

namespace kvpress {

void BosOption::add_to(CLI::App& command) {
  command
      .add_option("--bos", bos,
                  "Begin texts with the begin-of-text token: auto (as transformers and llama.cpp do with this model), "
                  "yes, or no (add no tokens)")
      ->capture_default_str();
}

void ChatOption::add_to(CLI::App& command, const std::string& what) {
  command
      .add_option("--chat", chat,
                  "Whether " + what + " of the user in the model's chat template: auto (if it has one), yes, no")
      ->capture_default_str();
}

void ChatOption::check() const {
  static const std::vector<std::string> kChoices = {"auto", "yes", "no"};
  if (std::find(kChoices.begin(), kChoices.end(), chat) == kChoices.end()) {
    fail_usage("--chat: {}", is_not_known(chat, kChoices));
  }
}

bool ChatOption::uses_template(const OpenedModel& opened, const BosOption& bos) const {
  if (chat == "no") return false;
  if (ChatTemplate(*opened.files).empty()) {
    if (chat == "yes") fail_usage("--chat: {} has no chat template; use --chat no", opened.name);
    return false;
  }
  if (bos.choice() != BosChoice::automatic) {
    fail_usage("--bos: the chat template of {} says how the text begins; use --chat no with it", opened.name);
  }
  return true;
}

void TextOptions::add_to(CLI::App& command, const std::string& dataset_names) {
  CLI::Option* option = command
                            .add_option(dataset_names, dataset,
                                        "Texts: wikitext, pg19, hf:ORG/NAME (a data set of the hub), or a .jsonl or "
                                        ".txt file, also .gz, .xz, .zst")
                            ->capture_default_str();
  add_text_options(*this, command, option);
}

void add_text_options(TextOptions& options, CLI::App& command, CLI::Option* dataset) {
  command
      .add_option("--text", options.text, "Texts: a file, a quoted pattern ('books/*.txt'), or - for standard input")
      ->excludes(dataset);
  command.add_option("--dataset-config,--config", options.config,
                     "Configuration of the data set, such as wikitext-103-v1");
  command.add_option("--split", options.split, "Split of the data set, such as test");
  command
      .add_option("--rows", options.rows,
                  "Rows as texts: joined (one text), apart (one text each), auto (apart for books)")
      ->capture_default_str();
  command.add_option("--text-column", options.column, "Column of the rows that contains the text")
      ->capture_default_str();
  command.add_option("--max-samples", options.max_samples, "Use only this many rows or books; 0: all")
      ->capture_default_str();
  options.bos.add_to(command);
}

void TextOptions::check() const {
  bos.choice();
  if (max_samples < 0) fail_usage("--max-samples: {} is negative; 0 means all", max_samples);
  parse_rows_as(rows, "--rows");
}

TextRequest TextOptions::request(std::optional<std::int64_t> max_tokens) const {
  return {.name = text.empty() ? dataset : text,
          .config = config,
          .split = split,
          .max_samples = max_samples,
          .column = column,
          .rows = parse_rows_as(rows, "--rows"),
          .is_file = !text.empty(),
          .max_bytes = bytes_of_tokens(max_tokens.value_or(0))};
}

}  // namespace kvpress
