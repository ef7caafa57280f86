// The chat format of an instruction-tuned model: the text before and after the user's text.
#pragma once

#include <string>
#include <string_view>

#include "kvpress/formats/model_files.h"

namespace kvpress {

struct ChatFormat {
  std::string name;          ///< "plain", "chatml", "llama3"; "template": that of the model, none of these
  std::string before;        ///< before the user's text, including the system message of the template
  std::string after;         ///< after it: ends the user's turn and begins the answer
  bool trims_begin = false;  ///< the template drops white space at the beginning of the user's text
  std::string between = {};  ///< from the end of an answer to the user's next text; empty: the template has only one

  /// A chat up to the end of a text that goes on: what comes before it, and the text.
  std::string begin(std::string_view text) const;
};

/// With `name` "auto" the model's chat template (chat_template.h) is run on a single message of the user, and what it
/// writes is split at the message's text, as kvpress's pipeline does; without a template the format is "plain": the
/// begin-of-text token, if the model has one, before, and a newline after. "chatml" and "llama3" are written without
/// running the template. Throws UsageError with `option` for an unknown name, and for a template that cannot be run or
/// that does not write the text once, with the reason and the names that remain.
ChatFormat chat_format(const ModelFiles& files, const std::string& name, const std::string& option);

/// The format of a conversation: `before` has the system message, if there is one. Without the model's template it is
/// "plain". Throws UsageError for a template that cannot be run, or that has no place for a system message.
ChatFormat conversation_format(const ModelFiles& files, const std::string& system, bool uses_template);

}  // namespace kvpress
