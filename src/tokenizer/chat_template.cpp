#include "kvpress/tokenizer/chat_template.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/json_text.h"
#include "kvpress/base/error.h"
#include "tokenizer/jinja/template.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};

std::tm usual_date() {
  std::tm date{};
  date.tm_year = 2024 - 1900;
  date.tm_mon = 6;
  date.tm_mday = 26;
  date.tm_wday = 5;
  date.tm_yday = 207;
  return date;
}

/// Null if there is no such file.
Json read_object(const fs::path& path) {
  if (!fs::is_regular_file(path)) return nullptr;
  const std::string text = read_file(path);
  if (nests_too_deep(text)) fail("{}: is nested deeper than {} levels", path.string(), kMaxJsonDepth);
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) fail("{}: is not a JSON object", path.string());
  return json;
}

/// The text is the caller's own, of JSON that was read before.
Json object_of(const std::string& text) {
  Json json = Json::parse(text);
  if (!json.is_object()) throw std::logic_error("the other fields of a message are no JSON object");
  return json;
}

Json member(const Json& json, const std::string& key) {
  const auto it = json.is_object() ? json.find(key) : json.end();
  return json.is_object() && it != json.end() ? *it : Json();
}

/// Either a token, or an object with it and how it is matched.
std::string token_of(const Json& json) {
  const Json content = json.is_object() ? member(json, "content") : json;
  return content.is_string() ? content.get<std::string>() : std::string();
}

}  // namespace

ChatTemplate::ChatTemplate(const ModelFiles& files) : path_(files.path.string()) {
  if (files.gguf != nullptr) {
    read_gguf(files);
  } else {
    read_folder(files.config_json.parent_path());
  }
}

void ChatTemplate::read_gguf(const ModelFiles& files) {
  constexpr std::string_view kKey = "tokenizer.chat_template";
  const GgufFile& file = *files.gguf;
  for (const auto& [key, value] : file.metadata()) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr || key.compare(0, kKey.size(), kKey) != 0) continue;
    const bool has_name = key.size() > kKey.size() + 1 && key[kKey.size()] == '.';
    if (has_name || key.size() == kKey.size()) {
      templates_[has_name ? key.substr(kKey.size() + 1) : "default"] = {path_ + ": " + key, *text};
    }
  }
  const auto* tokens = file.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  if (tokens == nullptr) return;
  constexpr std::pair<const char*, const char*> kIds[] = {
      {"bos_token", "bos"},     {"eos_token", "eos"}, {"unk_token", "unknown"}, {"sep_token", "seperator"},
      {"pad_token", "padding"}, {"cls_token", "cls"}, {"mask_token", "mask"}};
  for (const auto& [name, key] : kIds) {
    const auto* id = file.get<std::int64_t>(fmt::format("tokenizer.ggml.{}_token_id", key));
    if (id == nullptr || *id < 0 || *id >= static_cast<std::int64_t>(tokens->size())) continue;
    tokens_[name] = (*tokens)[static_cast<std::size_t>(*id)];
  }
}

void ChatTemplate::read_folder(const fs::path& folder) {
  const fs::path single = folder / "chat_template.jinja";
  if (fs::is_regular_file(single)) templates_["default"] = {single.string(), read_file(single)};
  const fs::path more = folder / "additional_chat_templates";
  if (fs::is_directory(more)) {
    for (const auto& entry : fs::directory_iterator(more)) {
      if (entry.path().extension() != ".jinja" || !entry.is_regular_file()) continue;
      templates_[entry.path().stem().string()] = {entry.path().string(), read_file(entry.path())};
    }
  }
  const fs::path config_path = folder / "tokenizer_config.json";
  const Json config = read_object(config_path);
  // As transformers has it, files of their own replace all that the configuration says.
  for (const fs::path& path : {config_path, folder / "chat_template.json"}) {
    if (!templates_.empty()) break;
    const Json chat = member(path == config_path ? config : read_object(path), "chat_template");
    const auto add = [&](const Json& name, const Json& text) {
      if (!name.is_string() || !text.is_string()) {
        fail("{}: chat_template: must be a string, or a list of objects with \"name\" and \"template\"", path.string());
      }
      const std::string key = name.get<std::string>();
      templates_[key] = {path.string() + ": chat_template" + (key == "default" ? "" : " '" + key + "'"),
                         text.get<std::string>()};
    };
    if (chat.is_string()) {
      add("default", chat);
    } else if (chat.is_object()) {
      for (const auto& it : chat.items()) add(it.key(), it.value());
    } else if (chat.is_array()) {
      for (const Json& it : chat) add(member(it, "name"), member(it, "template"));
    } else if (!chat.is_null()) {
      add(nullptr, nullptr);
    }
  }
  const Json map = read_object(folder / "special_tokens_map.json");
  for (const std::string_view name : kTokens) {
    const std::string key(name);
    const Json own = member(config, key);
    const std::string token = token_of(own.is_null() ? member(map, key) : own);
    if (!token.empty()) tokens_[key] = token;
  }
  // Names of its own that a tokenizer gives its tokens ("image_token").
  if (config.is_object()) {
    for (const auto& it : config.items()) {
      const std::string_view key = it.key();
      const bool names_token = key.size() > 6 && key.substr(key.size() - 6) == "_token";
      if (names_token && !token_of(it.value()).empty()) tokens_[it.key()] = token_of(it.value());
    }
  }
}

std::vector<std::string> ChatTemplate::names() const {
  std::vector<std::string> names;
  for (const auto& [name, source] : templates_) names.push_back(name);
  return names;
}

std::map<std::string, ChatTemplate::Source>::const_iterator ChatTemplate::find(const std::string& name) const {
  const auto found = templates_.find(name.empty() ? "default" : name);
  return found == templates_.end() && name.empty() && templates_.size() == 1 ? templates_.begin() : found;
}

std::string ChatTemplate::source() const {
  const auto found = find("");
  return found == templates_.end() ? std::string() : found->second.text;
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages, const ChatRendering& how) const {
  if (templates_.empty()) fail_usage("{}: has no chat template", path_);
  const auto found = find(how.name);
  if (found == templates_.end()) {
    fail_usage("{}: has no chat template named '{}'; it has: {}", path_, how.name.empty() ? "default" : how.name,
               fmt::join(names(), ", "));
  }
  // What transformers' apply_chat_template() gives a template.
  Json variables = {{"messages", Json::array()}, {"tools", nullptr}, {"documents", nullptr}};
  for (const ChatMessage& it : messages) {
    Json message = {{"role", it.role}, {"content", it.content}};
    if (!it.others.empty()) {
      for (const auto& [key, value] : object_of(it.others).items()) {
        if (!message.contains(key)) message[key] = value;
      }
    }
    variables["messages"].push_back(std::move(message));
  }
  if (!how.tools.empty()) variables["tools"] = Json::parse(how.tools);
  variables["add_generation_prompt"] = how.add_generation_prompt;
  variables["enable_thinking"] = how.enable_thinking;
  for (const auto& [name, token] : tokens_) variables[name] = token;
  const auto& [where, text] = found->second;
  return jinja::Template(where, text).render(variables, how.now.value_or(usual_date()));
}

}  // namespace kvpress
