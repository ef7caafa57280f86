// The chat templates of a model: Jinja programs that write a conversation the way the model was trained on it.
#pragma once

#include <ctime>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kvpress/formats/model_files.h"

namespace kvpress {

struct ChatMessage {
  std::string role;  ///< "system", "user", "assistant"; others if the template knows them
  std::string content;
  /// What else the message has for the template ("tool_calls", "tool_call_id", "name"): a JSON object as text; empty:
  /// nothing. `role` and `content` go before what it says of them.
  std::string others = {};
};

struct ChatRendering {
  bool add_generation_prompt = true;  ///< ends with the beginning of an answer
  bool enable_thinking = false;       ///< for templates of models that can think before they answer
  /// The tools that the template describes to the model: a JSON list as text; empty: none.
  std::string tools = {};
  std::string name = {};  ///< of the template; empty: the only one, or the one named "default"
  /// What a template that writes today's date sees. Results that are to be the same tomorrow need a fixed one; without
  /// it that is 26 July 2024, the date in the templates of Llama 3.1 for programs without a clock.
  std::optional<std::tm> now = {};
};

/// Templates run as in transformers 5.2, with limits of work, memory and nesting: a template always ends.
class ChatTemplate {
 public:
  /// Reads a GGUF's tokenizer.chat_template and tokenizer.chat_template.<name>, or what transformers reads in a folder:
  /// chat_template.jinja and additional_chat_templates/<name>.jinja, else chat_template of tokenizer_config.json (a
  /// string, a list of {"name", "template"}, or an object), else that of chat_template.json. Special tokens come from
  /// tokenizer_config.json and special_tokens_map.json, or by their ids from the GGUF. Throws Error with the file for
  /// one that is damaged; templates are parsed when they are rendered.
  explicit ChatTemplate(const ModelFiles& files);

  bool empty() const { return templates_.empty(); }
  /// The names of the templates. One without a name is "default".
  std::vector<std::string> names() const;
  /// The text of the template that render() takes without a name; empty if there is none.
  std::string source() const;
  /// "bos_token", "eos_token", ... with their texts.
  const std::map<std::string, std::string>& special_tokens() const { return tokens_; }

  /// The conversation as text. Throws Error with the template's file, the line and what is wrong; UsageError if there
  /// is no template of that name.
  std::string render(std::span<const ChatMessage> messages, const ChatRendering& how = {}) const;

 private:
  struct Source {
    std::string where;  ///< the file, and what in it
    std::string text;
  };
  /// The template of that name, or the one that is meant by none; the end of templates_ if there is none.
  std::map<std::string, Source>::const_iterator find(const std::string& name) const;
  void read_gguf(const ModelFiles& files);
  void read_folder(const std::filesystem::path& folder);

  std::string path_;
  std::map<std::string, Source> templates_;
  std::map<std::string, std::string> tokens_;
};

}  // namespace kvpress
