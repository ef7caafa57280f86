#include "kvpress/tokenizer/chat_format.h"

#include <nlohmann/json.hpp>

#include <string_view>

#include "base/file.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

struct Templates {
  std::string chat;   ///< the Jinja template; empty: none
  std::string begin;  ///< the token that begins a text; empty: none
};

Templates from_gguf(const GgufFile& file) {
  Templates result;
  if (const auto* text = file.get<std::string>("tokenizer.chat_template")) result.chat = *text;
  const auto* id = file.get<std::int64_t>("tokenizer.ggml.bos_token_id");
  const auto* tokens = file.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  if (id != nullptr && tokens != nullptr && *id >= 0 && *id < static_cast<std::int64_t>(tokens->size())) {
    result.begin = (*tokens)[*id];
  }
  return result;
}

Templates from_folder(const ModelFiles& files) {
  Templates result;
  const fs::path folder = files.config_json.parent_path();
  const fs::path config = folder / "tokenizer_config.json";
  if (fs::is_regular_file(folder / "chat_template.jinja")) result.chat = read_file(folder / "chat_template.jinja");
  if (!fs::is_regular_file(config)) return result;
  const auto json = nlohmann::json::parse(read_file(config), nullptr, false);
  if (!json.is_object()) fail("{}: is not a JSON object", config.string());
  const auto chat = json.find("chat_template");
  if (chat != json.end() && chat->is_string() && result.chat.empty()) result.chat = chat->get<std::string>();
  // Either the token, or an object with it and how it is matched.
  auto begin = json.find("bos_token");
  if (begin != json.end() && begin->is_object()) {
    const auto content = begin->find("content");
    if (content != begin->end() && content->is_string()) result.begin = content->get<std::string>();
  } else if (begin != json.end() && begin->is_string()) {
    result.begin = begin->get<std::string>();
  }
  return result;
}

/// The system message that a ChatML template writes by itself when the user gives none.
std::string own_system_message(std::string_view chat) {
  constexpr std::string_view kEnd = "<|im_end|>";
  for (const std::string_view begin : {"<|im_start|>system\n", "<|im_start|>system\\n"}) {
    const auto at = chat.find(begin);
    if (at == std::string_view::npos) continue;
    const auto from = at + begin.size();
    const auto end = chat.find(kEnd, from);
    if (end == std::string_view::npos) continue;
    const std::string_view message = chat.substr(from, end - from);
    // A quote ends the template's string: what follows is an expression, and so the message is the user's.
    if (message.find_first_of("'\"{") == std::string_view::npos) return std::string(message);
  }
  return {};
}

ChatFormat plain(const Templates& templates) { return {"plain", templates.begin, "\n"}; }

ChatFormat chatml(const Templates& templates) {
  const std::string system = own_system_message(templates.chat);
  return {"chatml", (system.empty() ? "" : "<|im_start|>system\n" + system + "<|im_end|>\n") + "<|im_start|>user\n",
          "<|im_end|>\n<|im_start|>assistant\n"};
}

ChatFormat llama3(const Templates& templates) {
  const auto turn = [](const std::string& role) { return "<|start_header_id|>" + role + "<|end_header_id|>\n\n"; };
  std::string before = templates.begin;
  // Llama 3.1 and later write dates where no system message is given; the second is the template's own default.
  if (templates.chat.find("Cutting Knowledge Date") != std::string::npos) {
    before += turn("system") + "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n<|eot_id|>";
  }
  return {"llama3", before + turn("user"), "<|eot_id|>" + turn("assistant")};
}

}  // namespace

ChatFormat chat_format(const ModelFiles& files, const std::string& name, const std::string& option) {
  constexpr std::string_view kKnown = "auto, plain, chatml, llama3";
  if (name != "auto" && name != "plain" && name != "chatml" && name != "llama3") {
    fail_usage("{}: '{}' is not known; known: {}", option, name, kKnown);
  }
  const Templates templates = files.gguf != nullptr ? from_gguf(*files.gguf) : from_folder(files);
  const auto has = [&](std::string_view token) { return templates.chat.find(token) != std::string::npos; };
  if (name == "chatml" || (name == "auto" && has("<|im_start|>"))) return chatml(templates);
  if (name == "llama3" || (name == "auto" && has("<|start_header_id|>"))) return llama3(templates);
  if (name == "auto" && !templates.chat.empty()) {
    fail_usage("{}: the chat template of {} is not recognized; choose one with {}: {}", option, files.path.string(),
               option, kKnown);
  }
  return plain(templates);
}

}  // namespace kvpress
