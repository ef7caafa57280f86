// kvpress ask: questions about a text, or about what kvpress compress has left of it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json_text.h"
#include "cli/commands.h"
#include "cli/context_options.h"
#include "cli/token_text.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/base/timer.h"
#include "kvpress/engine/questions.h"
#include "kvpress/formats/text_dataset.h"
#include "kvpress/model/not_finite.h"
#include "report/documents/json.h"
#include "report/documents/text_table.h"

namespace kvpress {
namespace {

struct AskOptions {
  ComputeOptions compute;
  ContextOptions context;
  GenerateSettings settings = {.max_new_tokens = 256};
  std::string about;
  std::vector<std::string> questions;
  std::string questions_file;
  std::string output;
  bool keep = false;
  bool json = false;
};

/// The lines of a .jsonl file: objects with a "question", or texts.
std::vector<std::string> read_questions(const std::string& file) {
  std::vector<std::string> questions;
  const std::string content = read_text_file(file == "-" ? "/dev/stdin" : file);
  std::size_t number = 0;
  for (std::size_t at = 0; at < content.size();) {
    const std::size_t end = std::min(content.find('\n', at), content.size());
    const std::string line = content.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const nlohmann::json json = parse_json_line(line, file, number);
    const bool is_object = json.is_object() && json.contains("question") && json["question"].is_string();
    if (!is_object && !json.is_string()) {
      fail("{}:{}: each line must be an object with a text \"question\", or a text; it is {}", file, number,
           brief(json));
    }
    questions.push_back(is_object ? json["question"].get<std::string>() : json.get<std::string>());
  }
  if (questions.empty()) fail_usage("{}: has no questions", file);
  return questions;
}

std::vector<std::string> questions_of(const AskOptions& options) {
  if (!options.questions_file.empty() && !options.questions.empty()) {
    fail_usage("--questions: give questions or a file of them, not both");
  }
  if (options.questions.empty() && options.questions_file.empty()) {
    fail_usage("a question is needed: kvpress ask -m MODEL {} \"Who ...?\", or --questions FILE", options.about);
  }
  std::vector<std::string> questions =
      options.questions_file.empty() ? options.questions : read_questions(options.questions_file);
  for (const std::string& it : questions) {
    if (it.find_first_not_of(" \t\r\n") == std::string::npos) fail_usage("a question is empty");
  }
  return questions;
}

struct Answer {
  std::string question;
  std::string text;
  std::size_t n_tokens = 0;
  QuestionTimes times;
  double cache_tokens = 0;
  std::size_t cache_bytes = 0;
  bool ended = false;  // by the model
};

Json as_json(const Answer& it) {
  return {{"question", it.question},
          {"answer", it.text},
          {"tokens", it.n_tokens},
          {"ended", it.ended},
          {"question_sec", it.times.read},
          {"answer_sec", it.times.answer},
          {"tokens_per_sec", static_cast<double>(it.n_tokens) / it.times.answer},
          {"cache_tokens", it.cache_tokens},
          {"cache_bytes", it.cache_bytes}};
}

std::string as_table(const std::vector<Answer>& answers) {
  std::vector<std::vector<std::string>> rows = {
      {"question", "tokens", "question s", "answer s", "tokens/s", "cache tokens", "cache"}};
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Answer& it = answers[i];
    rows.push_back({fmt::format("{}", i + 1), fmt::format("{}", it.n_tokens), fmt::format("{:.3f}", it.times.read),
                    fmt::format("{:.3f}", it.times.answer),
                    fmt::format("{:.1f}", static_cast<double>(it.n_tokens) / it.times.answer),
                    fmt::format("{:.1f}", it.cache_tokens), format_bytes(static_cast<double>(it.cache_bytes))});
  }
  return aligned(rows);
}

/// Asks one after another; the questions' tokens are made before the model is loaded.
class Asker {
 public:
  Asker(const AskOptions& options, const Tokenizer& tokenizer, std::vector<std::string> questions, const Turns& turns)
      : options_(options), tokenizer_(tokenizer), questions_(std::move(questions)), turns_(turns) {
    if (options.keep && turns.between.empty()) {
      fail_usage("--keep: the chat template of {} has only one question; leave it out", options.compute.model);
    }
    for (std::size_t i = 0; i < questions_.size(); ++i) {
      const bool follows = options.keep && i > 0;
      tokens_.push_back(
          tokenizer.encode((follows ? turns.between : turns.before_question) + questions_[i] + turns.after_question));
    }
  }

  std::int64_t longest() const {
    std::size_t longest = 0;
    for (const auto& it : tokens_) longest = std::max(longest, it.size());
    return static_cast<std::int64_t>(longest);
  }
  /// Of all questions and answers that stand in the cache together.
  std::int64_t most_tokens() const {
    std::int64_t sum = 0;
    for (const auto& it : tokens_) {
      const std::int64_t n = std::ssize(it) + options_.settings.max_new_tokens;
      sum = options_.keep ? sum + n : std::max(sum, n);
    }
    return sum;
  }

  std::vector<Answer> ask(Sequence& context, std::uint64_t seed) {
    Questions asked(context, options_.keep);
    GenerateSettings settings = options_.settings;
    settings.seed = seed;
    std::vector<Answer> answers;
    for (std::size_t i = 0; i < questions_.size(); ++i) answers.push_back(ask_one(asked, i, settings));
    return answers;
  }

 private:
  Answer ask_one(Questions& asked, std::size_t i, const GenerateSettings& settings) {
    const auto show = [&](const std::string& text) {
      if (options_.json) return;
      fmt::print("{}", text);
      std::fflush(stdout);
    };
    show(fmt::format("{}> {}\n", i == 0 ? "" : "\n", questions_[i]));
    Answer answer;
    answer.question = questions_[i];
    TokenText stream(tokenizer_, true);
    std::vector<std::int32_t> tokens = std::move(unread_);
    tokens.insert(tokens.end(), tokens_[i].begin(), tokens_[i].end());
    const auto take = [&](const std::string& text) {
      answer.text += text;
      show(text);
    };
    Generated generated;
    try {
      generated = asked.ask(tokens, settings, [&](std::int32_t id) { take(stream.take(id)); });
    } catch (const NotFinite& error) {
      const std::int32_t id = error.token();
      throw error.in(fmt::format("question {}", i + 1), tokenizer_.decode({&id, 1}, false));
    }
    take(stream.finish());
    show("\n");
    unread_.clear();
    if (options_.keep && !generated.end) unread_ = {generated.ids.back()};  // returned, but not read
    answer.n_tokens = generated.ids.size();
    answer.ended = generated.end.has_value();
    answer.times = asked.times();
    answer.cache_tokens = asked.newest().cache_tokens();
    answer.cache_bytes = asked.newest().cache_bytes();
    return answer;
  }

  const AskOptions& options_;
  const Tokenizer& tokenizer_;
  std::vector<std::string> questions_;
  Turns turns_;
  std::vector<std::vector<std::int32_t>> tokens_;
  std::vector<std::int32_t> unread_;
};

/// The format that the context has; one that was asked for must be the same.
LoadSettings load_settings_for(const AskOptions& options, const CLI::App& command, const CacheFormat& format) {
  LoadSettings settings = options.compute.load_settings();
  const std::string stored(to_string(format));
  if (was_given(command, "--cache-dtype") && settings.cache_dtype != "auto" && settings.cache_dtype != stored) {
    fail_usage("--cache-dtype: {} has a cache in {}, not {}; leave it out", options.about, stored,
               settings.cache_dtype);
  }
  settings.cache_dtype = stored;
  settings.cache_residual = format.residual;
  return settings;
}

void warn_of_long(const CompressionSettings& settings, const ModelConfig& config, std::int64_t n_context,
                  std::int64_t n_more) {
  const std::int64_t highest = settings.highest_position(n_context, n_more);
  if (highest <= config.max_positions) return;
  log_warning_once(
      fmt::format("text, question and answer may reach {} positions, beyond the trained context of {}; "
                  "answers there are unreliable",
                  highest, config.max_positions));
}

void write_answers(const std::string& path, const std::vector<Answer>& answers) {
  std::string lines;
  for (const Answer& it : answers) lines += json_text(as_json(it)) + "\n";
  write_file(path, lines);
}

void report(const AskOptions& options, const Sequence& context, const std::string& press, double context_sec,
            const std::vector<Answer>& answers) {
  if (!options.output.empty()) write_answers(options.output, answers);
  if (!options.json) {
    fmt::print("\n{}", as_table(answers));
    return;
  }
  Json json = {{"model", options.compute.model},       {"context", options.about},   {"press", press},
               {"context_tokens", context.n_tokens()}, {"context_sec", context_sec}, {"answers", Json::array()}};
  for (const Answer& it : answers) json["answers"].push_back(as_json(it));
  fmt::print("{}\n", json_text(json, 2));
}

/// Asks about a file of `kvpress compress`.
void ask_context(const AskOptions& options, const CLI::App& command, const OpenedModel& opened,
                 const Tokenizer& tokenizer, std::vector<std::string> questions) {
  const ContextFile file(options.about);
  file.check_origin(origin_of(opened));
  ContextOptions::warn_of_void(command, options.about + " has been compressed already");
  const CompressionSettings& compression = file.info().settings;
  Asker asker(options, tokenizer, std::move(questions), Turns::read(file.info().origin));
  const LoadSettings settings = load_settings_for(options, command, compression.cache_format);
  if (file.has_press()) opened.prepare(compression.press, &tokenizer);
  warn_of_long(compression, opened.config, file.info().n_tokens, asker.most_tokens());
  const Timer reading;
  SequenceState state = file.read();
  const double seconds = reading.seconds();
  const LoadedModel loaded = load_model(opened, settings, asker.longest(), file.info().origin.n_planned);
  Sequence context = file.restore(*loaded.model, std::move(state));
  report(options, context, compression.press.text, seconds, asker.ask(context, options.compute.seed));
}

/// Asks about a text, which is read and compressed first.
void ask_text(const AskOptions& options, const CLI::App& command, const OpenedModel& opened, const Tokenizer& tokenizer,
              std::vector<std::string> questions) {
  ContextText text = read_context_text(options.context, options.compute, opened, tokenizer, options.about, command);
  warn_of_void_cache_options(command, {options.compute.cache_dtype});
  Asker asker(options, tokenizer, std::move(questions), text.turns);
  const std::int64_t n = std::ssize(text.tokens);
  warn_of_long(text.compression, opened.config, n, asker.most_tokens());
  const LoadedModel loaded = load_model(opened, options.compute.load_settings(), n, n + asker.most_tokens());
  Sequence context = read_context(loaded, text, tokenizer);
  const SequenceTimes times = context.times();
  report(options, context, text.compression.press.text, times.prefill + times.compress,
         asker.ask(context, options.compute.seed));
}

void run(const AskOptions& options, const CLI::App& command) {
  options.compute.apply();
  options.context.check();
  check_settings(options.settings);
  warn_of_void_sampling_options(command, options.settings);
  std::vector<std::string> questions = questions_of(options);
  if (!options.output.empty()) check_can_write(options.output);
  const OpenedModel opened = open_model(options.compute.model);
  const Tokenizer tokenizer = opened.tokenizer();
  // A file with that name is a context even where it is damaged beyond recognition.
  const bool is_context = options.about.ends_with(".kv") || ContextFile::is_context(options.about);
  (is_context ? ask_context : ask_text)(options, command, opened, tokenizer, std::move(questions));
}

}  // namespace

void add_ask_command(CLI::App& program) {
  auto options = std::make_shared<AskOptions>();
  CLI::App* command = program.add_subcommand("ask", "Ask questions about a text or a compressed context");
  options->compute.add_to(*command, "-m,--model");
  command->add_option("context", options->about, "File of kvpress compress (.kv), or a text file, compressed first")
      ->required();
  command->add_option("question", options->questions, "Questions; each is answered without the others");
  command->add_option(
      "--questions", options->questions_file,
      "File with questions: .jsonl, each line an object with \"question\" or a text; -: standard input");
  command->add_option("-o,--output", options->output, "Write the answers to this .jsonl file as well");
  command->add_flag("--keep", options->keep, "Each question sees the questions and answers before it");
  command->add_flag("--json", options->json, "Print one JSON document instead of text and table");
  command->add_option("-n,--max-new-tokens", options->settings.max_new_tokens, "Tokens of an answer, at most")
      ->capture_default_str();
  options->context.add_to(*command, "no_press");
  add_sampling_options(*command, options->settings);
  command->footer(
      "Examples:\n"
      "  kvpress ask -m model.gguf book.kv \"Who keeps the light?\" \"And the parrot?\"\n"
      "  kvpress ask -m model.gguf book.kv --questions q.jsonl -o answers.jsonl\n"
      "  kvpress ask -m model.gguf book.txt --press snapkv --compression-ratio 0.75 \"Who keeps the light?\"");
  command->callback([options, command] { run(*options, *command); });
}

}  // namespace kvpress
