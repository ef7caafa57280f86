#include "cli/context_options.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/counted.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/formats/text_dataset.h"
#include "kvpress/model/not_finite.h"
#include "kvpress/tokenizer/chat_format.h"

namespace kvpress {
namespace {

/// Between a text and a question about it.
constexpr const char* kParagraph = "\n\n";

std::string note(const ContextOrigin& origin, const std::string& key) {
  const auto it = origin.notes.find(key);
  return it == origin.notes.end() ? std::string() : it->second;
}

}  // namespace

void Turns::write(ContextOrigin& origin) const {
  origin.notes["before_question"] = before_question;
  origin.notes["after_question"] = after_question;
  origin.notes["between_turns"] = between;
}

Turns Turns::read(const ContextOrigin& origin) {
  return {"", note(origin, "before_question"), note(origin, "after_question"), note(origin, "between_turns")};
}

void ContextOptions::add_to(CLI::App& command, const std::string& default_press) {
  press = default_press;
  command.add_option("--press,--press-name", press, "Press; see kvpress presses")->capture_default_str();
  command
      .add_option("--compression-ratio", compression_ratio, "Compression ratio: share of the text to evict, in [0, 1)")
      ->capture_default_str();
  budget.add_to(command, "Compress again after this many tokens of an answer");
  bos.add_to(command);
  chat.add_to(command, "text and questions are messages");
}

void ContextOptions::check() const {
  check_ratio(compression_ratio, "--compression-ratio");
  bos.choice();
  chat.check();
}

void ContextOptions::warn_of_void(const CLI::App& command, const std::string& reason) {
  for (const char* option : {"--press", "--compression-ratio", "--budget", "--target-size", "--compression-interval",
                             "--positions", "--press-window-layers", "--bos", "--chat", "--seed"}) {
    warn_if_given(command, option, reason);
  }
}

ContextText read_context_text(const ContextOptions& options, const ComputeOptions& compute, const OpenedModel& opened,
                              const Tokenizer& tokenizer, const std::string& file, const CLI::App& command) {
  const NamedPress press = parse_press(options.press);
  opened.prepare(press, &tokenizer);
  ContextText text;
  text.name = file;
  text.compression =
      options.budget.settings(compute, opened.config).with(press, options.budget.ratio(options.compression_ratio));
  warn_of_void_budget_options(command, options.budget, {&press, 1}, "--compression-ratio");
  const std::string content = read_text_file(file == "-" ? "/dev/stdin" : file);
  if (options.chat.uses_template(opened, options.bos)) {
    const ChatFormat chat = chat_format(*opened.files, "auto", "--chat");
    text.turns = {chat.before, kParagraph, chat.after, chat.between};
    text.tokens = tokenizer.encode(chat.begin(content));
  } else {
    text.turns = {"", kParagraph, "\n", kParagraph};
    text.tokens = tokenizer.encode(content, options.bos.choice());
  }
  if (content.empty() || text.tokens.empty()) fail_usage("{}: is empty; there is nothing to ask about", file);
  const std::int64_t n = std::ssize(text.tokens);
  const std::int64_t highest = text.compression.highest_position(n, 0);
  if (highest > opened.config.max_positions) {
    log_warning_once(fmt::format("{} has {} tokens, more than the trained context of {}; answers are unreliable", file,
                                 n, opened.config.max_positions));
  }
  return text;
}

Sequence read_context(const LoadedModel& loaded, ContextText& text, const Tokenizer& tokenizer) {
  text.compression.cache_format = loaded.cache_format;
  Sequence sequence(*loaded.model, text.compression);
  try {
    sequence.append(text.tokens);
  } catch (const NotFinite& error) {
    const std::int32_t id = error.token();
    throw error.in(text.name, tokenizer.decode({&id, 1}, false));
  }
  warn_if_nothing_is_quantized(sequence);
  // A press for decode is shown the questions as well.
  if (sequence.compressor().plan().decoding == nullptr) sequence.begin_decoding();
  return sequence;
}

std::string context_summary(const ContextInfo& info, const std::string& path) {
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    text += fmt::format("{:<20} {}\n", name, value);
  };
  const CompressionSettings& settings = info.settings;
  const CacheShape& shape = info.shape;
  line("context", path);
  line("model", fmt::format("{}, {}", info.origin.model, info.numbers));
  line("fingerprints", fmt::format("weights {}, tokenizer {}", info.origin.weights, info.origin.tokenizer));
  const std::string name = note(info.origin, "text");
  line("text", fmt::format("{}{}, {}", name.empty() ? "" : name + ": ", counted(info.n_tokens, "token"),
                           info.has_text ? "stored" : "not stored"));
  line("tokens' SHA-256", info.text_hash);
  line("press", settings.press.is_none() ? settings.press.text
                : settings.budget.is_fixed()
                    ? fmt::format("{}, budget {}", settings.press.text, to_string(settings.budget))
                    : fmt::format("{}, compression ratio {}", settings.press.text, to_string(settings.budget)));
  if (settings.compression_interval > 0) {
    line("during decode",
         fmt::format("to {} every {} tokens", to_string(settings.decoding_budget), settings.compression_interval));
  }
  line("positions", std::string(to_string(settings.positions)));
  line("cache", fmt::format("{} layers of {} KV heads of {} channels, {}", shape.n_layers, shape.n_kv_heads,
                            shape.head_dim, to_string(shape.format)));
  line("entries per head",
       info.fewest_entries == info.most_entries
           ? fmt::format("{}", info.most_entries)
           : fmt::format("{:.1f}, {} to {}", info.mean_entries, info.fewest_entries, info.most_entries));
  line("bytes", fmt::format("{} of keys and values, {} in all", format_bytes(static_cast<double>(info.cache_bytes)),
                            format_bytes(static_cast<double>(info.file_bytes))));
  line("times", fmt::format("prefill {:.2f} s, press {:.2f} s", info.prefill_sec, info.compress_sec));
  line("written by", "kvpress " + info.version);
  return text;
}

}  // namespace kvpress
