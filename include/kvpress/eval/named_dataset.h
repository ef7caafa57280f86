// Data sets by the names of kvpress's registry, and how much of each is taken by default.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "kvpress/eval/text_input.h"

namespace kvpress {

/// Throws UsageError naming `what` for a name that is neither known nor a path nor of the hub.
void check_dataset_name(const std::string& name, const std::string& what);

/// Loads and tokenizes the data set `request` names, which keeps the name it was asked for by. max_samples 0 and no
/// max_tokens take the data set's own defaults.
PreparedTexts prepare_dataset(TextRequest request, std::optional<std::int64_t> max_tokens, const Tokenizer& tokenizer,
                              const ProtocolSettings& protocol, const ModelConfig& config);

}  // namespace kvpress
