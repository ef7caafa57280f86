#include "serve/service.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <random>
#include <utility>

#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/base/version.h"
#include "kvpress/model/not_finite.h"
#include "kvpress/press/registry.h"
#include "serve/page/chat_page.h"
#include "serve/service_work.h"

namespace kvpress::serve {
namespace {

constexpr std::chrono::milliseconds kWait{100};

constexpr std::string_view kContextsPath = "/v1/contexts/";
constexpr std::string_view kModelsPath = "/v1/models/";

/// The route of a path, for counts: clients must not be able to add names.
std::string route_of(const std::string& path) {
  static const std::vector<std::string> kRoutes = {
      "/",        "/v1/completions", "/v1/chat/completions", "/v1/models",     "/v1/contexts", "/health",
      "/metrics", "/tokenize",       "/detokenize",          "/tokenizer_info"};
  if (std::find(kRoutes.begin(), kRoutes.end(), path) != kRoutes.end()) return path;
  if (path.starts_with(kContextsPath)) return "/v1/contexts/{id}";
  if (path.starts_with(kModelsPath)) return "/v1/models/{id}";
  return "other";
}

Reply json_reply(const Json& json) { return {.body = dump(json)}; }

std::string random_id(std::string_view prefix) {
  static thread_local std::random_device random;
  std::string id(prefix);
  for (int i = 0; i < 3; ++i) id += fmt::format("{:08x}", random());
  return id;
}

std::int64_t seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

[[noreturn]] void fail_not_found(const std::string& what) {
  throw ApiError(404, "invalid_request_error", "not_found", "", what);
}

}  // namespace

ApiError api_error_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const ApiError& error) {
    return error;
  } catch (const UsageError& error) {
    return {400, "invalid_request_error", "", "", error.what()};
  } catch (const std::bad_alloc&) {
    return {500, "server_error", "out_of_memory", "", "the server is out of memory"};
  } catch (const std::exception& error) {
    return {500, "server_error", "", "", error.what()};
  }
}

Service::Service(const Tokenizer& tokenizer, const ChatTemplate& chat, MemoryBudget& budget, Snapshots* snapshots,
                 Scheduler& scheduler, const ServiceSettings& settings, const ContextFolder* folder)
    : tokenizer_(tokenizer),
      chat_(chat),
      budget_(budget),
      snapshots_(snapshots),
      scheduler_(scheduler),
      settings_(settings),
      config_(scheduler.model().config()),
      presses_(config_, settings.model_id, tokenizer, settings.cache.compression.press),
      folder_(folder) {
  if (folder_ != nullptr) folder_->load(scheduler.model(), budget, contexts_);
}

Reply Service::error_reply(const ApiError& error) {
  Reply reply = json_reply(error_body(error));
  reply.status = error.status;
  if (error.retry_after > 0) reply.headers.emplace_back("Retry-After", fmt::format("{}", error.retry_after));
  return reply;
}

Reply Service::handle(const Call& call) {
  Reply reply;
  try {
    reply = dispatch(call);
  } catch (...) {
    reply = error_reply(api_error_of(std::current_exception()));
  }
  calls_.add(route_of(call.path), reply.gone ? 499 : reply.status);
  return reply;
}

Reply Service::dispatch(const Call& call) {
  const bool get = call.method == "GET";
  const bool post = call.method == "POST";
  const std::string& path = call.path;
  if (path.starts_with(kContextsPath) || (path == "/v1/contexts" && get)) return context_call(call);
  if (path == "/v1/completions" && post) return complete(call);
  if (path == "/v1/chat/completions" && post) return chat(call);
  if (path == "/v1/contexts" && post) return make_context(call);
  if (path == "/tokenize" && post) return tokenize(call);
  if (path == "/detokenize" && post) return detokenize(call);
  if (path == "/" && get) return {.type = "text/html; charset=utf-8", .body = chat_page()};
  if (path == "/health" && get) return health();
  if (path == "/v1/models" && get) return models();
  if (path == "/tokenizer_info" && get) return tokenizer_info();
  if (path == "/metrics" && get) return {.type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics_text()};
  if (path.starts_with(kModelsPath) && get) {
    check_model(path.substr(kModelsPath.size()));
    Json list = Json::parse(models().body);
    return json_reply(list["data"][0]);
  }
  if (route_of(path) != "other") {
    throw ApiError(405, "invalid_request_error", "method_not_allowed", "",
                   fmt::format("{}: {} is not possible here", path, call.method.substr(0, 20)));
  }
  fail_not_found(fmt::format("{}: there is nothing here", path.substr(0, 200)));
}

void Service::check_model(const std::string& name) const {
  if (name.empty() || name == settings_.model_id) return;
  throw ApiError(404, "invalid_request_error", "model_not_found", "model",
                 fmt::format("model: '{}' is not here; the server has {}", name.substr(0, 200), settings_.model_id));
}

std::shared_ptr<const Context> Service::context_of(const CacheRequest& cache) const {
  if (cache.context.empty()) return nullptr;
  if (auto context = contexts_.find(cache.context)) return context;
  throw ApiError(404, "invalid_request_error", "context_not_found", "kvpress.context",
                 fmt::format("kvpress.context: there is no context '{}'", cache.context.substr(0, 100)));
}

Prompt Service::text_prompt(const TextOrTokens& prompt, bool after_context) const {
  Prompt result;
  if (const auto* tokens = std::get_if<std::vector<std::int32_t>>(&prompt)) {
    result.tokens = *tokens;
    result.text = tokenizer_.decode(*tokens, false);
  } else {
    result.text = std::get<std::string>(prompt);
    result.tokens =
        after_context ? tokenizer_.encode(result.text) : tokenizer_.encode(result.text, BosChoice::automatic);
    if (result.tokens.empty() && !after_context) fail_field("prompt", "has no token; give a longer text");
  }
  if (!result.tokens.empty()) result.turns.push_back(std::ssize(result.tokens));
  return result;
}

GenerateSettings Service::settings_of(const GenerationRequest& request, std::int64_t max_tokens) const {
  GenerateSettings settings = request.generate;
  settings.max_new_tokens = max_tokens;
  settings.seed = request.seed ? *request.seed : std::random_device()();
  return settings;
}

void Service::check_positions(const CompressionSettings& settings, std::int64_t n_prompt, std::int64_t n_more) const {
  const std::int64_t highest = settings.highest_position(n_prompt, n_more);
  if (highest <= config_.max_positions) return;
  throw ApiError(400, "invalid_request_error", "context_length_exceeded", "max_tokens",
                 fmt::format("max_tokens: the prompt's {} tokens and {} new ones reach position {}, but the model was "
                             "trained for {}",
                             n_prompt, n_more, highest, config_.max_positions));
}

void Service::add_job(Work& work, const GenerationRequest& request, const CacheRequest& cache, const Prompt& prompt,
                      std::shared_ptr<const Context> context, bool scores_prompt) {
  JobRequest job;
  job.tokens = prompt.tokens;
  job.compression = context ? context->sequence.settings() : cache.compression;
  job.settings_key = cache.key;
  job.scores_prompt = scores_prompt;
  job.scores_answer = request.scores;
  job.n_top = request.n_top;
  job.n_choices = request.n;
  job.reports_held = cache.held;
  const std::int64_t n_prompt = std::ssize(job.tokens) + (context ? context->sequence.n_tokens() : 0);
  const std::int64_t default_tokens =
      work.head.chat ? std::clamp<std::int64_t>(config_.max_positions - n_prompt, 1, settings_.max_tokens) : 16;
  job.generate = settings_of(request, request.max_tokens.value_or(default_tokens));
  check_positions(job.compression, n_prompt, job.generate.max_new_tokens);
  if (!context) {
    CacheRequest own = cache;
    if (scores_prompt && own.chunk_size == 0 && !own.context_tokens) own.chunk_size = settings_.cache.scoring_chunk;
    job.boundaries = boundaries_of(prompt, own);
    if (own.context_tokens) job.decode_from = own.context_tokens;
  }
  job.context = std::move(context);
  const TextSettings text{request.stops, !work.head.chat};
  const int index = static_cast<int>(work.jobs.size());
  auto writer = std::make_shared<AnswerWriter>(tokenizer_, work.answer, index, request.n, text);
  work.jobs.push_back(std::make_shared<Job>(std::move(job), std::move(writer)));
  work.prompts.push_back(prompt);
}

Reply Service::complete(const Call& call) {
  const CompletionRequest request = read_completion(parse_body(call.body), config_.vocab_size);
  check_model(request.model);
  const CacheRequest cache = read_cache_request(request.cache_field(), settings_.cache, presses_, config_);
  const std::shared_ptr<const Context> context = context_of(cache);
  auto work = std::make_unique<Work>();
  work->head = {random_id("cmpl-"), seconds_now(), settings_.model_id, false,
                (context ? context->sequence.settings() : cache.compression).press.text};
  work->answer = std::make_shared<Answer>(static_cast<int>(request.prompts.size()));
  work->n = request.n;
  work->echo = request.echo;
  work->scores = request.scores;
  work->stream = request.stream;
  work->stream_usage = request.stream_usage;
  work->held = cache.held;
  for (const TextOrTokens& it : request.prompts) {
    add_job(*work, request, cache, text_prompt(it, context != nullptr), context, request.echo && request.scores);
  }
  return answer(call, std::move(work));
}

Reply Service::chat(const Call& call) {
  const ChatRequest request = read_chat(parse_body(call.body), config_.vocab_size);
  check_model(request.model);
  if (chat_.empty()) fail_field("messages", "the model has no chat template; use /v1/completions");
  const CacheRequest cache = read_cache_request(request.cache_field(), settings_.cache, presses_, config_);
  const std::shared_ptr<const Context> context = context_of(cache);
  ChatRendering how;
  how.enable_thinking = request.enable_thinking;
  how.tools = request.tools;
  std::vector<ChatMessage> messages = request.messages;
  if (context) messages.insert(messages.begin(), context->messages.begin(), context->messages.end());
  Prompt prompt = rendered(messages, how);
  if (context) remove_context(prompt, *context);
  auto work = std::make_unique<Work>();
  work->head = {random_id("chatcmpl-"), seconds_now(), settings_.model_id, true,
                (context ? context->sequence.settings() : cache.compression).press.text};
  work->answer = std::make_shared<Answer>(1);
  work->n = request.n;
  work->scores = request.scores;
  work->stream = request.stream;
  work->stream_usage = request.stream_usage;
  work->held = cache.held;
  add_job(*work, request, cache, prompt, context, false);
  return answer(call, std::move(work));
}

Prompt Service::rendered(const std::vector<ChatMessage>& messages, const ChatRendering& how) const {
  try {
    return chat_prompt(chat_, tokenizer_, messages, how);
  } catch (const ApiError&) {
    throw;
  } catch (const Error& error) {
    fail_field("messages", "the chat template refuses them: {}", error.what());
  }
}

/// Takes the context's tokens from the beginning of a conversation; of a context that is a text, the begin-of-text
/// token alone, which it has already.
void Service::remove_context(Prompt& prompt, const Context& context) const {
  std::size_t n = 0;
  const std::span<const std::int32_t> own = context.sequence.tokens();
  if (!context.messages.empty()) {
    if (own.size() >= prompt.tokens.size() || !std::equal(own.begin(), own.end(), prompt.tokens.begin())) {
      fail_field("messages", "the chat template does not write the context's messages before them as they were");
    }
    n = own.size();
  } else if (const auto bos = tokenizer_.bos_id(); bos && prompt.tokens.front() == *bos) {
    n = 1;
  }
  prompt.tokens.erase(prompt.tokens.begin(), prompt.tokens.begin() + static_cast<std::ptrdiff_t>(n));
  prompt.turns.clear();  // nothing is compressed after a context
}

Reply Service::answer(const Call& call, std::unique_ptr<Work> work) {
  scheduler_.submit(work->jobs);
  if (work->stream) {
    Reply reply;
    reply.type = "text/event-stream";
    reply.events = std::make_unique<Stream>(tokenizer_, std::move(work));
    return reply;
  }
  std::vector<ChoiceText> choices(static_cast<std::size_t>(work->n_choices()));
  for (bool ended = false; !ended;) {
    Piece piece;
    switch (work->answer->next(piece, kWait)) {
      case Answer::Next::piece: {
        ChoiceText& choice = choices[static_cast<std::size_t>(piece.choice)];
        choice.text += piece.text;
        choice.tokens.insert(choice.tokens.end(), std::make_move_iterator(piece.tokens.begin()),
                             std::make_move_iterator(piece.tokens.end()));
        choice.finish_reason = piece.finish_reason;
        break;
      }
      case Answer::Next::nothing_yet:
        break;
      case Answer::Next::end:
        ended = true;
    }
    if (!ended && call.is_gone && call.is_gone()) return {.gone = true};
  }
  std::vector<Json> logprobs(choices.size());
  for (std::size_t i = 0; i < choices.size(); ++i) {
    ChoiceText& choice = choices[i];
    const int job = static_cast<int>(i) / work->n;
    if (work->scores && work->head.chat) logprobs[i] = chat_logprobs(tokenizer_, choice.tokens);
    if (work->scores && !work->head.chat) {
      std::vector<ScoredToken> tokens = work->echo ? work->scored_prompt(job) : std::vector<ScoredToken>();
      tokens.insert(tokens.end(), choice.tokens.begin(), choice.tokens.end());
      logprobs[i] = completion_logprobs(tokenizer_, tokens, work->echo && work->first_is_unknown(job), 0);
    }
    if (work->echo) choice.text = work->prompts[static_cast<std::size_t>(job)].text + choice.text;
  }
  Json json = answer_object(work->head, choices, logprobs, work->answer->usage());
  if (work->held) json["kvpress"]["held"] = work->held_tokens(tokenizer_);
  return json_reply(json);
}

}  // namespace kvpress::serve
