// Data sets by the names of kvpress's registry, with default numbers of samples and tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "kvpress/eval/text_input.h"

namespace kvpress {

/// Throws UsageError that names `what` if the name is neither a known name nor a path nor a hub id.
void check_dataset_name(const std::string& name, const std::string& what);

/// Loads and tokenizes the requested data set. The result has the requested name. max_samples 0 and an empty max_tokens
/// mean the defaults of the data set. Throws as prepare_texts().
PreparedTexts prepare_dataset(TextRequest request, std::optional<std::int64_t> max_tokens, const Tokenizer& tokenizer,
                              const ProtocolSettings& protocol, const ModelConfig& config,
                              BosChoice bos = BosChoice::automatic);

}  // namespace kvpress
