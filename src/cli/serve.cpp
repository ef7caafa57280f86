// kvpress serve: a model for many clients, in OpenAI's protocol, under a budget of memory.
#include <fmt/format.h>
#include <malloc.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "cli/void_options.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/tokenizer/chat_template.h"
#include "serve/http_server.h"
#include "serve/scheduler.h"
#include "serve/service.h"
#include "serve/warm_up.h"

namespace kvpress {
namespace {

struct ServeOptions {
  ComputeOptions compute;
  serve::HttpSettings http;
  serve::SchedulerSettings scheduler;
  std::string press = "no_press";
  double compression_ratio = 0.5;
  BudgetOptions budget;
  std::string memory;
  std::string model_name;
  std::string api_key_file;
  std::string contexts;
  std::int64_t chunk_size = 256;
  std::int64_t max_tokens = 512;
  std::size_t max_body_mib = 8;
  double grace = 10;
  bool no_prefix_cache = false;
};

volatile std::sig_atomic_t stop_signals = 0;

extern "C" void on_stop_signal(int /*signal*/) {
  if (stop_signals != 0) std::_Exit(130);
  stop_signals = 1;
}

/// From now on a signal lets running requests end. Before, it ends the program, as of any command.
void install_stop_handler() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

void check(const ServeOptions& options) {
  check_ratio(options.compression_ratio, "--compression-ratio");
  if (options.http.port < 0 || options.http.port > 65535)
    fail_usage("--port: {} is no port; use 0 to 65535", options.http.port);
  if (options.chunk_size < 1) fail_usage("--chunk-size: {} is too small; at least 1 is needed", options.chunk_size);
  if (options.max_tokens < 1) fail_usage("--max-tokens: {} is too small; at least 1 is needed", options.max_tokens);
  if (options.scheduler.chunk < 1)
    fail_usage("--prefill-chunk: {} is too small; at least 1 is needed", options.scheduler.chunk);
  if (options.scheduler.max_sequences < 1) {
    fail_usage("--max-sequences: {} is too small; at least 1 is needed", options.scheduler.max_sequences);
  }
  if (!(options.grace >= 0)) fail_usage("--grace: {} is negative; give seconds", options.grace);
  if (options.max_body_mib < 1) fail_usage("--max-body: 0 is too small; at least 1 is needed");
  if (options.http.certificate.empty() != options.http.private_key.empty()) {
    fail_usage("--cert: --cert and --key are needed together");
  }
}

/// The lines of the file, none of which is empty.
std::vector<std::string> read_keys(const std::string& path) {
  std::vector<std::string> keys;
  if (path.empty()) return keys;
  const std::string text = read_file(path);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty()) keys.push_back(std::move(line));
    at = end + 1;
  }
  if (keys.empty()) fail("--api-key: {}: holds no key; one on each line is needed", path);
  return keys;
}

/// Bytes of --memory, or 70 % of what is free beside what is held already.
std::size_t memory_limit(const ServeOptions& options, std::size_t fixed) {
  if (options.memory.empty()) return fixed + static_cast<std::size_t>(0.7 * static_cast<double>(available_bytes()));
  const Budget budget = parse_budget(options.memory, "--memory");
  if (!budget.bytes) fail_usage("--memory: '{}' is not a number of bytes, such as 4GiB", options.memory);
  return *budget.bytes;
}

void wait_for_signal() {
  while (stop_signals == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

void run(ServeOptions options, const CLI::App& command) {
  options.compute.apply();
  check(options);
  options.http.api_keys = read_keys(options.api_key_file);
  options.http.max_body = options.max_body_mib << 20;
  const NamedPress press = parse_press(options.press);
  const OpenedModel opened = open_model(options.compute.model);
  const Tokenizer tokenizer = opened.tokenizer();
  const ChatTemplate chat(*opened.files);
  opened.prepare(press, &tokenizer);
  serve::ServiceSettings settings;
  settings.cache.compression = options.budget.settings(options.compute, opened.config)
                                   .with(press, options.budget.ratio(options.compression_ratio));
  settings.cache.ratio = options.budget.ratio(options.compression_ratio);
  settings.cache.scoring_chunk = options.chunk_size;
  settings.max_tokens = options.max_tokens;
  warn_of_void_budget_options(command, options.budget, {&press, 1}, "--compression-ratio");
  settings.model_id = options.model_name;
  if (settings.model_id.empty()) settings.model_id = std::filesystem::path(options.compute.model).filename().string();
  std::optional<serve::ContextFolder> folder;
  if (!options.contexts.empty()) {
    folder.emplace(options.contexts, origin_of(opened), [&](const NamedPress& it) { opened.prepare(it, &tokenizer); });
  }
  // The port is taken before the long work begins.
  std::unique_ptr<serve::Service> service;
  serve::HttpServer http(options.http, [&](const serve::Call& call) { return service->handle(call); });

  mallopt(M_ARENA_MAX, 4);  // a heap for each of a thousand threads would hold what they gave back
  const LoadedModel loaded =
      load_model(opened, options.compute.load_settings(), options.scheduler.chunk, options.scheduler.chunk);
  settings.cache.compression.cache_format = loaded.cache_format;
  const std::size_t fixed =
      serve::warm_up(*loaded.model, options.scheduler) + 2 * serve::kBodiesAtATime * options.http.max_body;
  serve::MemoryBudget budget(memory_limit(options, fixed), fixed);
  std::optional<serve::Snapshots> snapshots;
  if (!options.no_prefix_cache) snapshots.emplace(budget);
  serve::Snapshots* const prefixes = snapshots ? &*snapshots : nullptr;
  serve::Scheduler scheduler(*loaded.model, budget, prefixes, options.scheduler);
  service = std::make_unique<serve::Service>(tokenizer, chat, budget, prefixes, scheduler, settings,
                                             folder ? &*folder : nullptr);
  name_settings(nullptr);  // from here on errors are for clients, who know fields and no options

  install_stop_handler();
  http.start();
  fmt::print("{}\n", http.url());
  std::fflush(stdout);
  log_info(fmt::format("{}: {} of memory: {} for weights and scratch, {} for caches; press {}", settings.model_id,
                       format_bytes(static_cast<double>(budget.limit())), format_bytes(static_cast<double>(fixed)),
                       format_bytes(static_cast<double>(budget.free())), press.text));
  wait_for_signal();
  log_info(fmt::format("ending: running requests have {} s", options.grace));
  scheduler.drain(options.grace);
  scheduler.stop();
  http.stop();
}

}  // namespace

void add_serve_command(CLI::App& program) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = program.add_subcommand("serve", "Serve a model by HTTP in OpenAI's protocol, under a press");
  options->compute.add_to(*command, "-m,--model");
  command->add_option("--host", options->http.host, "Address to listen at; 0.0.0.0: all of this machine")
      ->capture_default_str();
  command->add_option("--port", options->http.port, "Port to listen at; 0: any that is free")->capture_default_str();
  command->add_option("--memory", options->memory,
                      "Bytes for weights, caches, snapshots and scratch, such as 4GiB; what does not fit waits or is "
                      "refused (default: 70 % of what is free)");
  command->add_option("--press,--press-name", options->press, "Press of requests that name none; see kvpress presses")
      ->capture_default_str();
  command->add_option("--compression-ratio", options->compression_ratio, "Share of a prompt to evict, in [0, 1)")
      ->capture_default_str();
  options->budget.add_to(*command, "Compress again after this many tokens");
  command->add_option("--chunk-size", options->chunk_size, "Tokens between compressions where a prompt is scored")
      ->capture_default_str();
  command->add_option("--model-name", options->model_name, "Name of the model for clients (default: that of its file)");
  command->add_option("--max-tokens", options->max_tokens, "New tokens of a chat that does not say how many")
      ->capture_default_str();
  command
      ->add_option("--prefill-chunk", options->scheduler.chunk,
                   "Tokens of a prompt in one pass: what another text's next token may have to wait for")
      ->capture_default_str();
  command->add_option("--max-sequences", options->scheduler.max_sequences, "Texts that are in work at a time")
      ->capture_default_str();
  command->add_option("--queue", options->scheduler.queue, "Prompts that may wait; more are refused (429)")
      ->capture_default_str();
  command->add_option("--contexts", options->contexts,
                      "Folder of contexts: they are written there, and are there again after a restart");
  command->add_flag("--no-prefix-cache", options->no_prefix_cache, "Keep no snapshots of prompts for later ones");
  command->add_option("--api-key", options->api_key_file, "File with the keys that clients may send, one on each line");
  command->add_option("--cert", options->http.certificate, "Certificate for TLS (PEM)");
  command->add_option("--key", options->http.private_key, "Private key of the certificate (PEM)");
  command->add_option("--max-body", options->max_body_mib, "Largest body of a request in MiB")->capture_default_str();
  command->add_option("--grace", options->grace, "Seconds that running requests have after SIGTERM or Ctrl-C")
      ->capture_default_str();
  command->footer(
      "Examples:\n"
      "  kvpress serve -m model.gguf --press snapkv --compression-ratio 0.5 --memory 4GiB\n"
      "  curl http://127.0.0.1:8080/v1/completions -d '{\"prompt\": \"Once upon a time\", \"max_tokens\": 32}'");
  command->callback([options, command] { run(*options, *command); });
}

}  // namespace kvpress
