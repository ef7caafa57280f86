#include <algorithm>
#include <iterator>

#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "tokenizer/end_tokens.h"
#include "tokenizer/parts.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

/// llama.cpp's kinds of tokens, of those that are looked for in the text.
constexpr std::int64_t kUnknown = 2, kControl = 3, kUserDefined = 4;

constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4oPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// How text is cut for the names that a GGUF's tokenizer.ggml.pre may have (llama.cpp's; the expressions are those of
/// the models' own tokenizer.json).
struct Pre {
  std::string_view name;
  std::string_view patterns[4];  ///< one after another, the unused ones empty
  bool digits = false;           ///< each digit by itself, before the patterns
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;  ///< a begin-of-text token before each text, unless tokenizer.ggml.add_bos_token says otherwise
};
constexpr Pre kPres[] = {
    {"gpt-2", {kGpt2Pattern}},
    {"phi-2", {kGpt2Pattern}},
    {"mpt", {kGpt2Pattern}, false, true},
    {"olmo", {kGpt2Pattern}, false, true},  // Pythia's too
    {"trillion", {kGpt2Pattern}},
    {"granite-docling", {kGpt2Pattern}},
    {"smollm", {kGpt2Pattern}, true},
    {"starcoder", {kGpt2Pattern}, true},
    {"refact", {kGpt2Pattern}, true},
    {"codeshell", {kGpt2Pattern}, true},
    {"command-r", {kGpt2Pattern}, true, true},
    {"llama-bpe", {kLlama3Pattern}, false, false, true, true},
    {"llama3", {kLlama3Pattern}, false, false, true, true},
    {"llama-v3", {kLlama3Pattern}, false, false, true, true},
    {"dbrx", {kLlama3Pattern}},
    {"smaug-bpe", {kLlama3Pattern}},
    {"qwen2", {kQwen2Pattern}, false, true},
    {"deepseek-r1-qwen", {kQwen2Pattern}},
    {"tekken", {kTekkenPattern}, false, false, true, true},
    {"gpt-4o", {kGpt4oPattern}},
    {"llama4", {kGpt4oPattern}},
    {"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Pattern, R"(\p{N}+)", R"([0-9][0-9][0-9])"}},
};

const Pre& find_pre(const std::string& name, const std::string& path) {
  const auto found = std::find_if(std::begin(kPres), std::end(kPres), [&](const Pre& pre) { return pre.name == name; });
  if (found == std::end(kPres)) {
    std::string known;
    for (const Pre& pre : kPres) known += (known.empty() ? "" : ", ") + std::string(pre.name);
    fail("{}: tokenizer.ggml.pre '{}' is not supported; supported: {}", path, printable(name), known);
  }
  return *found;
}

void read_tokens(const GgufFile& file, TokenizerParts& parts) {
  const std::string& path = file.path();
  const auto* tokens = file.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  if (tokens == nullptr) fail("{}: has no tokenizer.ggml.tokens, an array of strings", path);
  if (static_cast<std::int64_t>(tokens->size()) > Vocabulary::kMaxId)
    fail("{}: has more than {} tokens", path, Vocabulary::kMaxId);
  const auto types = file.integers("tokenizer.ggml.token_type");
  if (types && types->size() != tokens->size()) {
    fail("{}: tokenizer.ggml.token_type has {} tokens, but there are {}", path, types->size(), tokens->size());
  }
  parts.vocabulary.reserve(tokens->size());
  std::vector<AddedToken> list;
  for (std::size_t i = 0; i < tokens->size(); ++i) {
    // As llama.cpp names them, of which a file may have several.
    const std::string token = (*tokens)[i].empty() ? fmt::format("[EMPTY_{}]", i) : (*tokens)[i];
    std::string storage;
    if (to_valid_utf8(token, storage).data() != token.data()) fail("{}: token {} is not valid UTF-8", path, i);
    const auto id = static_cast<std::int32_t>(i);
    if (!parts.vocabulary.add(token, id)) fail("{}: token {} appears twice", path, printable(token));
    std::int64_t type = types ? (*types)[i] : 1;
    if (is_control_text(token)) type = kControl;
    if (is_user_text(token)) type = kUserDefined;
    if (type != kUnknown && type != kControl && type != kUserDefined) continue;
    AddedToken added;
    added.content = token;
    added.special = type != kUserDefined;
    added.normalized = !added.special;
    list.push_back(std::move(added));
  }
  parts.added.add(list, parts.vocabulary, path);
}

/// What llama.cpp puts around a text. (It does not read add_space_prefix for this kind of tokenizer.)
void read_around(const GgufFile& file, bool add_bos, TokenizerParts& parts) {
  const std::string& path = file.path();
  const auto n_tokens = static_cast<std::size_t>(parts.vocabulary.end_id());
  parts.bos_id = gguf_token_id(file, "tokenizer.ggml.bos_token_id", n_tokens);
  parts.eos_id = gguf_token_id(file, "tokenizer.ggml.eos_token_id", n_tokens);
  if (file.flag("tokenizer.ggml.add_bos_token").value_or(add_bos)) {
    if (parts.bos_id) {
      parts.before_text.push_back(*parts.bos_id);
    } else {
      parts.no_bos_reason = fmt::format(
          "{}: texts begin with a begin-of-text token, but tokenizer.ggml.bos_token_id is missing; set {} to no to do "
          "without",
          path, setting("bos"));
    }
  }
  if (file.flag("tokenizer.ggml.add_eos_token").value_or(false)) {
    if (!parts.eos_id) fail("{}: tokenizer.ggml.add_eos_token is true, but eos_token_id is missing", path);
    parts.after_text.push_back(*parts.eos_id);
  }
}

}  // namespace

TokenizerParts read_tokenizer_gguf(const GgufFile& file) {
  const std::string& path = file.path();
  const auto* model = file.get<std::string>("tokenizer.ggml.model");
  if (model == nullptr) fail("{}: contains no tokenizer (tokenizer.ggml.model)", path);
  if (*model != "gpt2") {
    fail("{}: tokenizer.ggml.model '{}' is not supported; supported: gpt2 (byte-level BPE)", path, printable(*model));
  }
  const auto* stated = file.get<std::string>("tokenizer.ggml.pre");
  const std::string pre_name = stated == nullptr ? "default" : *stated;
  const Pre& pre = find_pre(pre_name, path);

  TokenizerParts parts;
  parts.nfc = pre.nfc;
  parts.ignore_merges = pre.ignore_merges;
  parts.pre_tokenizer_name = pre.name;
  if (pre.digits) parts.steps.push_back(DigitsSplit{true});
  for (const std::string_view pattern : pre.patterns) {
    if (!pattern.empty()) parts.steps.push_back(RegexSplit{Regex(pattern, path)});
  }
  read_tokens(file, parts);

  const auto* lines = file.get<std::vector<std::string>>("tokenizer.ggml.merges");
  if (lines == nullptr) fail("{}: has no tokenizer.ggml.merges, an array of strings", path);
  parts.encoder.reserve(lines->size());
  MergeReader merges(parts, path);
  for (const std::string& line : *lines) merges.add(line);

  read_around(file, pre.add_bos, parts);
  set_bytes(parts);
  return parts;
}

}  // namespace kvpress
