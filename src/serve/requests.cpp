#include "serve/requests.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "base/counted.h"
#include "serve/api_error.h"

namespace kvpress::serve {
namespace {

constexpr std::size_t kMostStops = 32;
constexpr std::size_t kMostBiases = 4096;
constexpr std::size_t kMostMessages = 10000;
constexpr int kMostChoices = 128;
constexpr int kMostTop = 100;
constexpr std::int64_t kMostNewTokens = std::int64_t{1} << 31;

void read_biases(const Json* field, GenerateSettings& settings, std::int64_t vocab_size) {
  if (field == nullptr) return;
  if (!field->is_object()) fail_field("logit_bias", "must be an object of token ids with biases");
  if (field->size() > kMostBiases)
    fail_field("logit_bias", "has {} tokens; at most {} are possible", field->size(), kMostBiases);
  for (const auto& item : field->items()) {
    std::int32_t id = -1;
    const char* const end = item.key().data() + item.key().size();
    const auto [stop, error] = std::from_chars(item.key().data(), end, id);
    if (error != std::errc() || stop != end || id < 0 || id >= vocab_size) {
      fail_field("logit_bias", "'{}' is not a token id from 0 to {}", item.key().substr(0, 40), vocab_size - 1);
    }
    if (!item.value().is_number()) fail_field("logit_bias", "the bias of token {} must be a number", id);
    const auto bias = item.value().get<double>();
    if (!(bias >= -100 && bias <= 100)) fail_field("logit_bias", "{} of token {} is not in [-100, 100]", bias, id);
    settings.logit_bias.emplace_back(id, static_cast<float>(bias));
  }
}

void read_stream(Fields& fields, GenerationRequest& request) {
  request.stream = fields.boolean("stream", false);
  const Json* const field = fields.find("stream_options");
  if (field == nullptr) return;
  if (!request.stream) fail_field("stream_options", "needs stream: true");
  Fields options(*field, "stream_options");
  request.stream_usage = options.boolean("include_usage", false);
  options.ignore({"include_obfuscation"});
  options.refuse_others();
}

void read_common(Fields& fields, GenerationRequest& request, std::int64_t vocab_size) {
  request.model = fields.text("model", "");
  GenerateSettings& settings = request.generate;
  settings.temperature = fields.number("temperature", 1, 0, 100);
  settings.top_p = fields.number("top_p", 1, 0, 1);
  if (settings.top_p == 0) settings.top_k = 1;  // as the least that can be: the likeliest alone
  if (settings.top_p == 0) settings.top_p = 1;
  const std::int64_t top_k = fields.integer("top_k", 0, -1, std::numeric_limits<std::int32_t>::max());
  if (top_k > 0 && settings.top_k == 0) settings.top_k = top_k;
  settings.min_p = fields.number("min_p", 0, 0, 1);
  settings.presence_penalty = fields.number("presence_penalty", 0, -2, 2);
  settings.frequency_penalty = fields.number("frequency_penalty", 0, -2, 2);
  settings.ignore_eos = fields.boolean("ignore_eos", false);
  read_biases(fields.find("logit_bias"), settings, vocab_size);
  if (const auto seed =
          fields.integer("seed", std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max())) {
    request.seed = static_cast<std::uint64_t>(*seed);
  }
  request.stops = fields.texts("stop", kMostStops);
  request.n = static_cast<int>(fields.integer("n", 1, 1, kMostChoices));
  read_stream(fields, request);
  if (const Json* const cache = fields.find("kvpress")) request.cache = *cache;
  fields.ignore({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"});
}

std::vector<TextOrTokens> read_prompts(const Json* field, std::int64_t vocab_size) {
  if (field == nullptr)
    fail_field("prompt", "is missing; give a text, a list of texts, token ids or a list of lists of them");
  if (field->is_string()) return {field->get<std::string>()};
  if (!field->is_array()) fail_field("prompt", "must be a string or a list, not {}", kind_of(*field));
  if (field->empty()) fail_field("prompt", "is an empty list; at least one token or text is needed");
  if (field->front().is_number()) return {read_tokens(*field, "prompt", vocab_size)};
  if (field->size() > kMostPrompts)
    fail_field("prompt", "has {}; at most {} are possible", counted(field->size(), "prompt"), kMostPrompts);
  std::vector<TextOrTokens> prompts;
  for (std::size_t i = 0; i < field->size(); ++i) {
    const Json& item = (*field)[i];
    const std::string name = fmt::format("prompt[{}]", i);
    if (item.is_string() && field->front().is_string()) {
      prompts.emplace_back(item.get<std::string>());
    } else if (item.is_array() && field->front().is_array()) {
      prompts.emplace_back(read_tokens(item, name, vocab_size));
    } else {
      fail_field(name, "must be {} as the first one is, not {}", kind_of(field->front()), kind_of(item));
    }
  }
  return prompts;
}

/// A message's content: a text, parts of text, or nothing.
std::string read_content(const Json* field, const std::string& name) {
  if (field == nullptr) return {};
  if (field->is_string()) return field->get<std::string>();
  if (!field->is_array()) fail_field(name, "must be a string or a list of parts, not {}", kind_of(*field));
  std::string text;
  for (std::size_t i = 0; i < field->size(); ++i) {
    Fields part((*field)[i], fmt::format("{}[{}]", name, i));
    const std::string type = part.text("type", "");
    if (type != "text") fail_field(part.name_of("type"), "'{}' is not possible; only text is", type.substr(0, 40));
    const auto own = part.text("text");
    if (!own) fail_field(part.name_of("text"), "is missing");
    part.refuse_others();
    text += *own;
  }
  return text;
}

ChatMessage read_message(const Json& json, const std::string& name) {
  Fields fields(json, name);
  ChatMessage message;
  message.role = fields.text("role", "");
  if (message.role.empty()) fail_field(fields.name_of("role"), "is missing; use system, user, assistant or tool");
  if (message.role == "developer") message.role = "system";
  constexpr std::string_view kRoles[] = {"system", "user", "assistant", "tool"};
  if (std::find(std::begin(kRoles), std::end(kRoles), message.role) == std::end(kRoles)) {
    fail_field(fields.name_of("role"), "'{}' is not known; use system, user, assistant or tool",
               message.role.substr(0, 40));
  }
  const Json* const content = fields.find("content");
  Json others = Json::object();
  for (const char* key : {"name", "tool_call_id", "tool_calls", "reasoning_content"}) {
    if (const Json* const value = fields.find(key)) others[key] = *value;
  }
  if (content == nullptr && !others.contains("tool_calls")) fail_field(fields.name_of("content"), "is missing");
  message.content = read_content(content, fields.name_of("content"));
  // Templates expect a call's arguments as an object, clients send them as a text.
  if (others.contains("tool_calls") && others["tool_calls"].is_array()) {
    for (Json& call : others["tool_calls"]) {
      if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) continue;
      Json& function = call["function"];
      if (!function.contains("arguments") || !function["arguments"].is_string()) continue;
      Json arguments = Json::parse(function["arguments"].get<std::string>(), nullptr, false);
      if (arguments.is_object()) function["arguments"] = std::move(arguments);
    }
  }
  if (!others.empty()) message.others = dump(others);
  fields.ignore({"refusal", "audio", "annotations", "function_call"});
  fields.refuse_others();
  return message;
}

}  // namespace

std::vector<ChatMessage> read_messages(const Json& list) {
  if (!list.is_array()) fail_field("messages", "must be a list, not {}", kind_of(list));
  if (list.empty()) fail_field("messages", "is empty; at least one message is needed");
  if (list.size() > kMostMessages)
    fail_field("messages", "has {}; at most {} are possible", counted(list.size(), "message"), kMostMessages);
  std::vector<ChatMessage> messages;
  for (std::size_t i = 0; i < list.size(); ++i)
    messages.push_back(read_message(list[i], fmt::format("messages[{}]", i)));
  return messages;
}

std::vector<std::int32_t> read_tokens(const Json& list, const std::string& param, std::int64_t vocab_size) {
  if (!list.is_array()) fail_field(param, "must be a list of token ids, not {}", kind_of(list));
  if (list.empty()) fail_field(param, "is an empty list; at least one token is needed");
  std::vector<std::int32_t> tokens;
  tokens.reserve(list.size());
  for (const Json& item : list) {
    const std::optional<std::int64_t> id = item.is_number() ? as_integer(item) : std::nullopt;
    if (!id || *id < 0 || *id >= vocab_size) {
      fail_field(param, "{} is not a token id from 0 to {}", dump(item).substr(0, 40), vocab_size - 1);
    }
    tokens.push_back(static_cast<std::int32_t>(*id));
  }
  return tokens;
}

CompletionRequest read_completion(const Json& body, std::int64_t vocab_size) {
  CompletionRequest request;
  Fields fields(body, "");
  read_common(fields, request, vocab_size);
  request.prompts = read_prompts(fields.find("prompt"), vocab_size);
  request.max_tokens = fields.integer("max_tokens", 0, kMostNewTokens);
  request.echo = fields.boolean("echo", false);
  if (const auto n_top = fields.integer("logprobs", 0, kMostTop)) {
    request.scores = true;
    request.n_top = static_cast<int>(*n_top);
  }
  const std::int64_t best_of = fields.integer("best_of", request.n, 1, kMostChoices);
  if (best_of != request.n) fail_field("best_of", "{} is not n, {}; leave it out", best_of, request.n);
  fields.expect("suffix", "", "the model does not fill in a middle");
  fields.refuse_others();
  return request;
}

ChatRequest read_chat(const Json& body, std::int64_t vocab_size) {
  ChatRequest request;
  Fields fields(body, "");
  read_common(fields, request, vocab_size);
  const Json* const messages = fields.find("messages");
  if (messages == nullptr) fail_field("messages", "is missing; give a list of messages with role and content");
  request.messages = read_messages(*messages);
  const auto max_tokens = fields.integer("max_tokens", 0, kMostNewTokens);
  const auto newer = fields.integer("max_completion_tokens", 0, kMostNewTokens);
  request.max_tokens = newer ? newer : max_tokens;
  request.scores = fields.boolean("logprobs", false);
  const auto n_top = fields.integer("top_logprobs", 0, kMostTop);
  if (n_top && !request.scores) fail_field("top_logprobs", "needs logprobs: true");
  request.n_top = static_cast<int>(n_top.value_or(0));
  const Json* const tools = fields.find("tools");
  if (tools != nullptr) {
    if (!tools->is_array()) fail_field("tools", "must be a list, not {}", kind_of(*tools));
    for (std::size_t i = 0; i < tools->size(); ++i) {
      if (!(*tools)[i].is_object())
        fail_field(fmt::format("tools[{}]", i), "must be an object, not {}", kind_of((*tools)[i]));
    }
    if (!tools->empty()) request.tools = dump(*tools);
  }
  const Json* const choice = fields.find("tool_choice");
  if (choice != nullptr && *choice != "auto" && *choice != "none") {
    fail_field("tool_choice", "only auto and none are possible: what the model writes is not constrained");
  }
  if (choice != nullptr && *choice == "none") request.tools.clear();
  if (const Json* const variables = fields.find("chat_template_kwargs")) {
    Fields own(*variables, "chat_template_kwargs");
    request.enable_thinking = own.boolean("enable_thinking", false);
    own.refuse_others();
  }
  fields.expect("response_format", {{"type", "text"}}, "what the model writes is not constrained");
  fields.ignore({"parallel_tool_calls"});
  fields.refuse_others();
  return request;
}

ContextRequest read_context(const Json& body, std::int64_t vocab_size) {
  ContextRequest request;
  Fields fields(body, "");
  const Json* const text = fields.find("text");
  const Json* const messages = fields.find("messages");
  if ((text == nullptr) == (messages == nullptr)) fail_field("text", "give exactly one of text and messages");
  if (text != nullptr) {
    if (text->is_string()) {
      request.text = text->get<std::string>();
    } else {
      request.text = read_tokens(*text, "text", vocab_size);
    }
  } else {
    request.messages = read_messages(*messages);
  }
  if (const Json* const cache = fields.find("kvpress")) request.cache = *cache;
  fields.ignore({"model"});
  fields.refuse_others();
  return request;
}

}  // namespace kvpress::serve
