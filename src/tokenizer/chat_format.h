// How a model that follows instructions wants to be spoken to: what stands before the user's text and behind it.
#pragma once

#include <string>

#include "kvpress/formats/model_files.h"

namespace kvpress {

struct ChatFormat {
  std::string name;    ///< "plain", "chatml", "llama3"
  std::string before;  ///< in front of the user's text, with the template's own system message where it has one
  std::string after;   ///< behind it: ends the user's turn and opens the answer
};

/// `name` "auto" takes what the model's chat template is of (its GGUF's tokenizer.chat_template, else
/// chat_template.jinja or tokenizer_config.json in its folder), and plain where there is none: the token that begins a
/// text, if the model has one, before, and a newline behind. Templates are recognised by their special tokens; they
/// are not run. Throws UsageError for a name that is not known, and when a template is not recognised: `option` names
/// one then.
ChatFormat chat_format(const ModelFiles& files, const std::string& name, const std::string& option);

}  // namespace kvpress
