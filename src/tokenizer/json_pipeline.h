// The parts of a tokenizer.json around its model.
#pragma once

#include <nlohmann/json.hpp>

#include "tokenizer/json_reader.h"
#include "tokenizer/parts.h"

namespace kvpress {

// Each reads its part of the document `rest` into `parts`, and throws Error with the file and what is not supported.
// The pre-tokenizer tells whether BPE is of bytes; the decoder wants to know.
void read_json_normalizer(const JsonReader& reader, const nlohmann::json& rest, TokenizerParts& parts);
void read_json_pre_tokenizer(const JsonReader& reader, const nlohmann::json& rest, TokenizerParts& parts);
/// What is put around a text.
void read_json_post_processor(const JsonReader& reader, const nlohmann::json& rest, TokenizerParts& parts);
void read_json_decoder(const JsonReader& reader, const nlohmann::json& rest, TokenizerParts& parts);

}  // namespace kvpress
