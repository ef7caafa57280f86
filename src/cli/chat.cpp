// kvpress chat: a conversation in the terminal, or driven by a script, that never outgrows its budget.
#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/closest.h"
#include "base/counted.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/context_options.h"
#include "cli/line_reader.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/engine/conversation.h"
#include "kvpress/model/not_finite.h"

namespace kvpress {
namespace {

struct ChatOptions {
  ComputeOptions compute;
  GenerateSettings sampling = {.max_new_tokens = 512};
  std::string press = "snapkv";
  std::string budget = "64MiB";
  double low = 0.75;
  std::string context;
  std::string system;
  BosOption bos;
  ChatOption chat;
  bool scores = false;
};

volatile std::sig_atomic_t stop_requested = 0;

/// While it lives, Ctrl-C stops an answer, and nothing else.
class StopsAnswers {
 public:
  StopsAnswers() {
    stop_requested = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { stop_requested = 1; };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, &before_);
  }
  StopsAnswers(const StopsAnswers&) = delete;
  StopsAnswers& operator=(const StopsAnswers&) = delete;
  ~StopsAnswers() { sigaction(SIGINT, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

std::string amount(const Conversation& talk, double value) {
  return talk.settings().budget.bytes ? format_bytes(value) : fmt::format("{:.0f} tokens", value);
}

/// The line under an answer.
std::string status_of(const Conversation& talk, const Reply& reply) {
  const std::string evicted = reply.n_compressions == 0
                                  ? "nothing evicted"
                                  : fmt::format("{:.0f} tokens a head evicted in {}", reply.n_evicted,
                                                counted(reply.n_compressions, "compression"));
  const std::string nll = talk.settings().scores_text ? fmt::format("; message {:.3f} nats a token", reply.nll) : "";
  return fmt::format("[{}, {:.1f} tokens/s{}; cache {} of {}, {:.0f} of {} tokens; {}{}]",
                     counted(reply.n_new, "token"), static_cast<double>(reply.n_new) / std::max(1e-9, reply.answer_sec),
                     reply.stopped ? ", stopped" : "", amount(talk, talk.used()), amount(talk, talk.limit()),
                     talk.sequence().cache_tokens(), talk.sequence().n_tokens(), evicted, nll);
}

class Chat {
 public:
  Chat(const ChatOptions& options, const OpenedModel& opened, const Tokenizer& tokenizer, const LoadedModel& loaded,
       const ChatFormat& format, ConversationSettings settings, ContextOrigin origin)
      : options_(options),
        opened_(opened),
        tokenizer_(tokenizer),
        model_(*loaded.model),
        format_(format),
        settings_(std::move(settings)),
        origin_(std::move(origin)) {
    if (options.context.empty()) {
      talk_ = std::make_unique<Conversation>(model_, tokenizer_, format_, settings_);
    } else {
      load(options.context);
    }
  }

  void run() {
    LineReader lines("> ");
    std::unique_ptr<StopsAnswers> at_prompt;
    if (lines.is_terminal()) {
      at_prompt = std::make_unique<StopsAnswers>();
      fmt::print("{} under {}, {} of cache; /help shows the commands\n", opened_.name, settings_.compression.press.text,
                 to_string(settings_.budget));
    }
    while (!ended_) {
      std::fflush(stdout);
      const std::optional<std::string> line = lines.read();
      if (!line) break;
      check_interrupt();
      if (line->find_first_not_of(" \t") == std::string::npos) continue;
      try {
        take(*line);
      } catch (const NotFinite&) {
        throw;
      } catch (const UsageError& error) {
        complain(error);
      }
    }
    if (lines.is_terminal() && !ended_) fmt::print("\n");
  }

 private:
  struct Command {
    std::string_view name, argument, help;
    void (Chat::*run)(const std::string& argument);
  };
  static const std::array<Command, 8>& commands() {
    static const std::array<Command, 8> all = {
        {{"/retry", "", "answer the newest message again, with another seed", &Chat::retry},
         {"/undo", "", "take the newest message and its answer away", &Chat::undo},
         {"/save", "FILE", "write the conversation to a file, to go on from by /load, --context or kvpress ask",
          &Chat::save},
         {"/load", "FILE", "go on from a saved conversation or a context of kvpress compress", &Chat::load},
         {"/press", "PRESS", "compress by another press from now on", &Chat::set_press},
         {"/stats", "", "what the conversation holds", &Chat::stats},
         {"/help", "", "this list; a line that begins with // is a message that begins with /", &Chat::help},
         {"/quit", "", "end; so does the end of the input, Ctrl-D", &Chat::quit}}};
    return all;
  }

  static void complain(const Error& error) { std::fputs(fmt::format("kvpress: {}\n", error.what()).c_str(), stderr); }

  void take(const std::string& line) {
    if (!line.starts_with('/')) return say(line);
    if (line.starts_with("//")) return say(line.substr(1));
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string name = line.substr(0, space);
    std::string argument = line.substr(space);
    argument.erase(0, std::min(argument.find_first_not_of(' '), argument.size()));
    for (const Command& it : commands()) {
      if (it.name != name) continue;
      if (argument.empty() != it.argument.empty()) {
        fail_usage("{} {}", name, it.argument.empty() ? "takes nothing" : fmt::format("needs {}", it.argument));
      }
      try {
        (this->*it.run)(argument);
      } catch (const UsageError&) {
        throw;
      } catch (const NotFinite&) {
        throw;
      } catch (const Interrupted&) {
        throw;
      } catch (const Error& error) {  // a file that cannot be read or written
        complain(error);
      }
      return;
    }
    std::vector<std::string> known;
    for (const Command& it : commands()) known.emplace_back(it.name);
    fail_usage("command {}", is_not_known(name, known));
  }

  void say(const std::string& message) {
    const StopsAnswers stops;
    GenerateSettings sampling = options_.sampling;
    sampling.seed = options_.compute.seed + n_answers_++;
    Reply reply;
    try {
      reply = talk_->say(message, sampling, [](std::string_view text) {
        fmt::print("{}", text);
        std::fflush(stdout);
        return stop_requested == 0;
      });
    } catch (const NotFinite& error) {
      const std::int32_t id = error.token();
      throw error.in("", tokenizer_.decode({&id, 1}, false));
    }
    fmt::print("\n{}\n", status_of(*talk_, reply));
  }

  void retry(const std::string& /*argument*/) {
    if (talk_->turns().empty()) fail_usage("there is no message yet");
    const std::string message = talk_->turns().back().user;
    talk_->undo();
    say(message);
  }
  void undo(const std::string& /*argument*/) {
    if (!talk_->undo()) fail_usage("there is no message to take away");
    fmt::print("[{} left]\n", counted(talk_->turns().size(), "message"));
  }
  void save(const std::string& file) {
    ContextOrigin origin = origin_;
    Turns{"", format_.between, format_.after, format_.between}.write(origin);
    origin.notes["text"] = fmt::format("a conversation of {}", counted(talk_->turns().size(), "message"));
    talk_->save(file, origin);
    fmt::print("[{} saved to {}]\n", counted(talk_->turns().size(), "message"), file);
  }
  void load(const std::string& file) {
    const ContextFile context(file);
    context.check_origin(origin_);
    const Turns turns = Turns::read(context.info().origin);
    ChatFormat format = format_;
    format.before = turns.before_question;
    format.after = turns.after_question;
    format.between = turns.between;
    auto next = std::make_unique<Conversation>(model_, tokenizer_, format, settings_, context);
    talk_ = std::move(next);
    format_ = format;
    fmt::print("[{}: {}, {} of {}]\n", file, counted(talk_->sequence().n_tokens(), "token"),
               amount(*talk_, talk_->used()), amount(*talk_, talk_->limit()));
  }
  void set_press(const std::string& text) {
    const NamedPress press = parse_press(text);
    opened_.prepare(press, &tokenizer_);
    talk_->set_press(press);
    settings_.compression.press = press;
    fmt::print("[{} from the next compression on]\n", text);
  }
  void stats(const std::string& /*argument*/) {
    const Sequence& sequence = talk_->sequence();
    const auto line = [](std::string_view name, const std::string& value) { fmt::print("{:<14}{}\n", name, value); };
    line("press", talk_->settings().compression.press.text);
    line("messages", fmt::format("{}", talk_->turns().size()));
    line("text",
         fmt::format("{}, {:.1f} held by each head", counted(sequence.n_tokens(), "token"), sequence.cache_tokens()));
    line("cache", fmt::format("{} of {}, {} at most so far", amount(*talk_, talk_->used()),
                              amount(*talk_, talk_->limit()), amount(*talk_, talk_->peak())));
    line("compressions",
         fmt::format("{}, each to {:.0f} % of the budget", talk_->n_compressions(), 100 * talk_->settings().low));
    line("positions", std::string(to_string(talk_->settings().compression.positions)));
    line("process", format_bytes(static_cast<double>(resident_bytes())) + " resident");
  }
  void help(const std::string& /*argument*/) {
    for (const Command& it : commands()) {
      fmt::print("{:<14}{}\n", fmt::format("{} {}", it.name, it.argument), it.help);
    }
  }
  void quit(const std::string& /*argument*/) { ended_ = true; }

  const ChatOptions& options_;
  const OpenedModel& opened_;
  const Tokenizer& tokenizer_;
  const Model& model_;
  ChatFormat format_;
  ConversationSettings settings_;
  ContextOrigin origin_;
  std::unique_ptr<Conversation> talk_;
  std::uint64_t n_answers_ = 0;
  bool ended_ = false;
};

void check(const ChatOptions& options) {
  check_settings(options.sampling);
  options.bos.choice();
  options.chat.check();
  if (!options.context.empty() && !options.system.empty()) {
    fail_usage("--system: {} has been read without it; leave one of them out", options.context);
  }
}

/// The tokens that the budget has room for, for the plan of memory and of RoPE.
std::int64_t planned_tokens(const Budget& budget, const ModelConfig& config, const CacheFormat& format) {
  if (!budget.bytes) return budget.target_size.value_or(0);
  return std::max<std::int64_t>(
      1, KVCache::tokens_within({config.n_layers, config.n_kv_heads, config.head_dim, format}, *budget.bytes));
}

void run(const ChatOptions& options, const CLI::App& command) {
  options.compute.apply();
  check(options);
  warn_of_void_sampling_options(command, options.sampling);
  const OpenedModel opened = open_model(options.compute.model);
  const Tokenizer tokenizer = opened.tokenizer();
  ConversationSettings settings;
  settings.compression.press = parse_press(options.press);
  opened.prepare(settings.compression.press, &tokenizer);
  settings.compression.seed = options.compute.seed;
  settings.budget = parse_budget(options.budget, "--budget");
  settings.low = options.low;
  settings.scores_text = options.scores;
  const ChatFormat format =
      conversation_format(*opened.files, options.system, options.chat.uses_template(opened, options.bos));
  ContextOrigin origin = origin_of(opened);
  LoadSettings load = options.compute.load_settings();
  origin.n_planned = planned_tokens(settings.budget, opened.config, load.cache_format(DType::f32));
  if (!options.context.empty()) {
    const ContextFile context(options.context);
    context.check_origin(origin);
    origin.n_planned = context.info().origin.n_planned;
  }
  const LoadedModel loaded = load_model(opened, load, std::min<std::int64_t>(origin.n_planned, 1024), origin.n_planned);
  settings.compression.cache_format = loaded.cache_format;
  Chat(options, opened, tokenizer, loaded, format, settings, origin).run();
}

}  // namespace

void add_chat_command(CLI::App& program) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* command = program.add_subcommand(
      "chat", "Talk with a model; a press keeps the cache within a budget, however long it gets");
  options->compute.add_to(*command, "-m,--model");
  command->add_option("--press,--press-name", options->press, "Press that compresses when the budget is reached")
      ->capture_default_str();
  command
      ->add_option("--budget", options->budget,
                   "The most that the cache takes: bytes (64MiB) or tokens per head (2048)")
      ->capture_default_str();
  command->add_option("--budget-low", options->low, "Share of the budget that a compression leaves, in (0, 1)")
      ->capture_default_str();
  command->add_option("--context", options->context,
                      "Go on from this file: of kvpress compress, or a saved conversation");
  command->add_option("--system", options->system, "System message; it is never evicted");
  command->add_option("-n,--max-new-tokens", options->sampling.max_new_tokens, "Tokens of an answer, at most")
      ->capture_default_str();
  command->add_flag("--ignore-eos", options->sampling.ignore_eos, "Continue after an end-of-text token");
  add_sampling_options(*command, options->sampling);
  options->bos.add_to(*command);
  options->chat.add_to(*command, "lines are messages");
  command->add_flag("--score", options->scores, "Show the loss of each message, in nats a token");
  command->footer(
      "Commands within: /retry, /undo, /save FILE, /load FILE, /press PRESS, /stats, /help, /quit. Ctrl-C stops an "
      "answer.\n"
      "Examples:\n"
      "  kvpress chat -m model.gguf --budget 64MiB --press snapkv --system \"Answer briefly.\"\n"
      "  kvpress chat -m model.gguf --context book.kv --temperature 0.7\n"
      "  kvpress chat -m model.gguf < messages.txt");
  command->callback([options, command] { run(*options, *command); });
}

}  // namespace kvpress
