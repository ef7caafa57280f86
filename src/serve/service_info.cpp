// What the service tells of itself and of its tokenizer.
#include <algorithm>
#include <utility>

#include "kvpress/base/version.h"
#include "kvpress/press/registry.h"
#include "serve/service.h"

namespace kvpress::serve {
namespace {

Reply json_reply(const Json& json) { return {.body = dump(json)}; }

}  // namespace

Reply Service::models() const {
  Json presses = Json::array({"no_press"});
  for (const PressEntry* it : press_entries()) presses.push_back(it->name);
  const CompressionSettings& own = settings_.cache.compression;
  const Json model = {{"id", settings_.model_id},
                      {"object", "model"},
                      {"created", 0},
                      {"owned_by", "kvpress"},
                      {"max_model_len", config_.max_positions},
                      {"kvpress",
                       {{"version", version()},
                        {"architecture", config_.architecture},
                        {"chat", !chat_.empty()},
                        {"press", own.press.text},
                        {"budget", own.budget.is_fixed() ? Json(to_string(own.budget)) : Json(own.budget.ratio)},
                        {"cache_dtype", to_string(own.cache_format)},
                        {"presses", std::move(presses)}}}};
  return json_reply({{"object", "list"}, {"data", Json::array({model})}});
}

Reply Service::health() const {
  const SchedulerCounts counts = scheduler_.counts();
  std::size_t contexts = 0;
  for (const auto& it : contexts_.all()) contexts += it->share.bytes();
  const SnapshotCounts snapshots = snapshots_ != nullptr ? snapshots_->counts() : SnapshotCounts();
  return json_reply({{"status", "ok"},
                     {"waiting", counts.waiting},
                     {"prefilling", counts.prefilling},
                     {"decoding", counts.decoding},
                     {"memory",
                      {{"limit", budget_.limit()},
                       {"fixed", budget_.fixed()},
                       {"requests", budget_.taken() - std::min(budget_.taken(), contexts + snapshots.bytes)},
                       {"contexts", contexts},
                       {"snapshots", snapshots.bytes}}}});
}

Reply Service::tokenize(const Call& call) const {
  const Json body = parse_body(call.body);
  Fields fields(body, "");
  fields.ignore({"model", "return_token_strs"});
  const auto prompt = fields.text("prompt");
  const auto content = fields.text("content");
  if (prompt.has_value() == content.has_value()) fail_field("prompt", "is missing; give the text");
  const bool framed = fields.boolean("add_special_tokens", true);
  fields.refuse_others();
  const std::string& text = prompt ? *prompt : *content;
  const auto tokens = framed ? tokenizer_.encode(text, BosChoice::automatic) : tokenizer_.encode(text);
  return json_reply({{"count", tokens.size()}, {"max_model_len", config_.max_positions}, {"tokens", tokens}});
}

Reply Service::detokenize(const Call& call) const {
  const Json body = parse_body(call.body);
  Fields fields(body, "");
  fields.ignore({"model"});
  const Json* const list = fields.find("tokens");
  if (list == nullptr) fail_field("tokens", "is missing; give a list of token ids");
  const std::vector<std::int32_t> tokens = list->empty() && list->is_array()
                                               ? std::vector<std::int32_t>()
                                               : read_tokens(*list, "tokens", config_.vocab_size);
  fields.refuse_others();
  const std::string text = tokenizer_.decode(tokens, false);
  return json_reply({{"prompt", text}, {"content", text}});
}

Reply Service::tokenizer_info() const {
  const auto text_of = [&](const std::optional<std::int32_t>& id) {
    return id ? Json(tokenizer_.decode_next({&*id, 1}, false)) : Json();
  };
  return json_reply({{"tokenizer_class", tokenizer_.description()},
                     {"vocab_size", tokenizer_.vocab_size()},
                     {"bos_token", text_of(tokenizer_.bos_id())},
                     {"eos_token", text_of(tokenizer_.eos_id())},
                     {"pad_token", nullptr},
                     {"chat_template", chat_.empty() ? Json() : Json(chat_.source())}});
}

std::string Service::metrics_text() const {
  MetricsText text;
  text.begin("http_requests_total", "counter", "Calls by path and status; 499: the client vanished");
  for (const auto& [key, n] : calls_.all()) {
    text.value("http_requests_total", fmt::format("{{path=\"{}\",status=\"{}\"}}", key.first, key.second),
               static_cast<double>(n));
  }
  const auto add = [&](std::string_view name, std::string_view type, std::string_view help, auto value) {
    text.add(name, type, help, static_cast<double>(value));
  };
  const SchedulerCounts counts = scheduler_.counts();
  add("prompt_tokens_total", "counter", "Tokens of prompts that the model read", counts.prompt_tokens);
  add("generated_tokens_total", "counter", "Tokens that ended jobs generated", counts.new_tokens);
  add("jobs_done_total", "counter", "Prompts answered to the end", counts.jobs_done);
  add("jobs_failed_total", "counter", "Prompts that ended by an error", counts.jobs_failed);
  add("jobs_cancelled_total", "counter", "Prompts whose client vanished", counts.jobs_cancelled);
  add("jobs_waiting", "gauge", "Prompts in the queue", counts.waiting);
  add("jobs_prefilling", "gauge", "Prompts that are being read", counts.prefilling);
  add("sequences_decoding", "gauge", "Texts that are being generated", counts.decoding);
  add("longest_round_seconds", "gauge", "Longest time between two tokens of a text that was being generated",
      counts.longest_round_sec);
  add("memory_limit_bytes", "gauge", "The budget", budget_.limit());
  add("memory_fixed_bytes", "gauge", "Weights and scratch", budget_.fixed());
  add("memory_taken_bytes", "gauge", "Caches of requests, contexts and snapshots, at most", budget_.taken());
  std::size_t contexts = 0;
  const auto all = contexts_.all();
  for (const auto& it : all) contexts += it->share.bytes();
  add("contexts", "gauge", "Contexts", all.size());
  add("contexts_bytes", "gauge", "Bytes of contexts", contexts);
  const SnapshotCounts snapshots = snapshots_ != nullptr ? snapshots_->counts() : SnapshotCounts();
  add("snapshots", "gauge", "Snapshots of prefixes", snapshots.entries);
  add("snapshots_bytes", "gauge", "Bytes of snapshots", snapshots.bytes);
  add("snapshot_hits_total", "counter", "Prompts that began from a snapshot", snapshots.hits);
  add("snapshot_misses_total", "counter", "Prompts that found none", snapshots.misses);
  add("snapshot_evictions_total", "counter", "Snapshots that made room", snapshots.evicted);
  add("snapshot_tokens_total", "counter", "Tokens that were not read again", snapshots.tokens_reused);
  return text.take();
}

}  // namespace kvpress::serve
