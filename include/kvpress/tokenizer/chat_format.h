// The chat format of an instruction-tuned model: the text before and after the user's text.
#pragma once

#include <string>

#include "kvpress/formats/model_files.h"

namespace kvpress {

struct ChatFormat {
  std::string name;    ///< "plain", "chatml", "llama3"
  std::string before;  ///< before the user's text, including the system message of the template
  std::string after;   ///< after it: ends the user's turn and begins the answer
};

/// With `name` "auto" the format is that of the model's chat template (tokenizer.chat_template of a GGUF, else
/// chat_template.jinja or tokenizer_config.json in its folder), or "plain" if there is none: the begin-of-text token,
/// if the model has one, before, and a newline after. Templates are recognized by their special tokens and not
/// executed. Throws UsageError with `option` for an unknown name and for a template that is not recognized.
ChatFormat chat_format(const ModelFiles& files, const std::string& name, const std::string& option);

}  // namespace kvpress
