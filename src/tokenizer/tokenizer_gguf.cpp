#include <algorithm>
#include <cmath>
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

constexpr std::string_view kSupported = "gpt2 (byte-level BPE), llama (SentencePiece's BPE), gemma4";

constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepSeek3Pattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
/// The letters of scripts with upper and lower case that DeepSeek LLM lists.
constexpr std::string_view kDeepSeekLlmLetters =
    "\\s?"
    "[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"
    "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-"
    "\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4"
    "\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc"
    "\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f"
    "\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b"
    "\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943]+";
constexpr std::string_view kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4oPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// How text is cut for the names that a GGUF's tokenizer.ggml.pre may have (llama.cpp's; the expressions are those of
/// the models' own tokenizer.json).
struct Pre {
  std::string_view name;
  std::string_view patterns[6];  ///< one after another, the unused ones empty
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
    {"exaone4", {kGpt2Pattern}},
    {"trillion", {kGpt2Pattern}},
    {"granite-docling", {kGpt2Pattern}},
    {"smollm", {kGpt2Pattern}, true},
    {"starcoder", {kGpt2Pattern}, true},
    {"refact", {kGpt2Pattern}, true},
    {"codeshell", {kGpt2Pattern}, true},
    {"exaone", {kGpt2Pattern}, true},
    {"minerva-7b", {kGpt2Pattern}, true},
    {"command-r", {kGpt2Pattern}, true, true},
    {"llama-bpe", {kLlama3Pattern}, false, false, true, true},
    {"llama3", {kLlama3Pattern}, false, false, true, true},
    {"llama-v3", {kLlama3Pattern}, false, false, true, true},
    {"falcon3", {kLlama3Pattern}, false, false, true, true},
    {"pixtral", {kLlama3Pattern}, false, false, true, true},
    {"lfm2", {kLlama3Pattern}, false, false, true, true},
    {"dbrx", {kLlama3Pattern}},  // OLMo 2's too
    {"smaug-bpe", {kLlama3Pattern}},
    {"qwen2", {kQwen2Pattern}, false, true},
    {"stablelm2", {kQwen2Pattern}},
    {"deepseek-r1-qwen", {kQwen2Pattern}},
    {"megrez", {kQwen2Pattern}},
    {"hunyuan", {kQwen2Pattern}},
    {"qwen35", {kQwen35Pattern}, false, true},
    {"deepseek-llm",
     {"[\r\n]", kDeepSeekLlmLetters, "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", "\\s+$",
      "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", "\\p{N}+"}},
    {"deepseek-coder",
     {"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", R"(\p{N})"}},
    {"deepseek-v3", {R"(\p{N}{1,3})", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", kDeepSeek3Pattern}},
    {"hunyuan-dense", {R"(\p{N}{1,3})", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", kDeepSeek3Pattern}},
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

bool is_phi3(const GgufFile& file) {
  const auto* stated = file.get<std::string>("general.name");
  std::string name = stated == nullptr ? "" : *stated;
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return name.find("phi-3") != name.npos || name.find("phi3") != name.npos;
}

/// `in_normalized`: user-defined tokens are looked for in the normalized text.
void read_tokens(const GgufFile& file, bool in_normalized, TokenizerParts& parts) {
  const std::string& path = file.path();
  const auto* tokens = file.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  if (tokens == nullptr) fail("{}: has no tokenizer.ggml.tokens, an array of strings", path);
  if (static_cast<std::int64_t>(tokens->size()) > Vocabulary::kMaxId)
    fail("{}: has more than {} tokens", path, Vocabulary::kMaxId);
  const auto types = file.integers("tokenizer.ggml.token_type");
  if (types && types->size() != tokens->size()) {
    fail("{}: tokenizer.ggml.token_type has {} tokens, but there are {}", path, types->size(), tokens->size());
  }
  // llama.cpp knows these by the model's name: their special tokens take the white space behind them along.
  const bool takes_space = is_phi3(file);
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
    if (takes_space && token == "</s>") type = kControl;
    if (type != kUnknown && type != kControl && type != kUserDefined) continue;
    AddedToken added;
    added.content = token;
    added.special = type != kUserDefined;
    added.normalized = in_normalized && !added.special;
    added.rstrip = takes_space && token != "<unk>" && token != "<s>" && token != "<|endoftext|>";
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

void read_merges(const GgufFile& file, TokenizerParts& parts) {
  const auto* lines = file.get<std::vector<std::string>>("tokenizer.ggml.merges");
  if (lines == nullptr) fail("{}: has no tokenizer.ggml.merges, an array of strings", file.path());
  parts.encoder.reserve(lines->size());
  MergeReader merges(parts, file.path());
  for (const std::string& line : *lines) merges.add(line);
}

std::vector<float> read_scores(const GgufFile& file, std::size_t n_tokens) {
  const char* key = "tokenizer.ggml.scores";
  const GgufValue none = std::vector<double>(n_tokens, 0.0);
  const auto found = file.metadata().find(key);
  const GgufValue& value = found == file.metadata().end() ? none : found->second;
  std::vector<float> scores;
  if (const auto* numbers = std::get_if<std::vector<double>>(&value)) {
    scores.assign(numbers->begin(), numbers->end());
  } else if (const auto* whole = std::get_if<std::vector<std::int64_t>>(&value)) {
    scores.assign(whole->begin(), whole->end());
  } else {
    fail("{}: {} must be an array of numbers", file.path(), key);
  }
  if (scores.size() < n_tokens) {
    fail("{}: {} has {} numbers, but there are {} tokens", file.path(), key, scores.size(), n_tokens);
  }
  for (std::size_t i = 0; i < n_tokens; ++i) {
    if (std::isnan(scores[i])) fail("{}: {}: number {} is NaN", file.path(), key, i);
  }
  scores.resize(n_tokens);
  return scores;
}

void set_byte_tokens(TokenizerParts& parts) {
  for (int byte = 0; byte < 256; ++byte) {
    const auto id = byte_token(parts.vocabulary, static_cast<unsigned char>(byte));
    if (id) parts.encoder.set_byte_token(static_cast<unsigned char>(byte), *id);
  }
}

/// SentencePiece's BPE.
TokenizerParts read_llama(const GgufFile& file) {
  TokenizerParts parts;
  parts.kind = TokenizerKind::characters;
  read_tokens(file, false, parts);
  const auto n_tokens = static_cast<std::size_t>(parts.vocabulary.end_id());
  add_scored_merges(parts, read_scores(file, n_tokens), std::vector<bool>(n_tokens, true), file.path());
  set_byte_tokens(parts);
  const std::int64_t unknown = file.integer("tokenizer.ggml.unknown_token_id").value_or(0);
  if (unknown >= 0 && static_cast<std::size_t>(unknown) < n_tokens) {
    parts.encoder.set_unknown(static_cast<std::int32_t>(unknown), false);
  }
  parts.decoder = space_sign_decoder();
  parts.added_as_is = true;
  // A space before each text, also behind a special token.
  if (file.flag("tokenizer.ggml.add_space_prefix").value_or(true)) {
    parts.normalizer.add(PrependText{std::string(kSpaceSign)});
    parts.decoder.set_strip({" ", 1, 0});
  }
  parts.normalizer.add(ReplaceText{Regex::literal(" ", file.path()), std::string(kSpaceSign)});
  read_around(file, true, parts);
  return parts;
}

TokenizerParts read_gemma4(const GgufFile& file) {
  TokenizerParts parts;
  parts.kind = TokenizerKind::characters;
  parts.normalizer.add(ReplaceText{Regex::literal(" ", file.path()), std::string(kSpaceSign)});
  parts.steps.emplace_back(RegexSplit{Regex(R"([^\n]+|[\n]+)", file.path())});
  parts.ignore_merges_of_lines = true;
  parts.pre_tokenizer_name = "gemma4";
  parts.decoder = space_sign_decoder();
  parts.added_as_is = true;
  read_tokens(file, false, parts);
  read_merges(file, parts);
  read_around(file, true, parts);
  // llama.cpp adds the begin-of-text token whatever the file says, since early files are wrong.
  if (parts.before_text.empty() && parts.bos_id) parts.before_text.push_back(*parts.bos_id);
  MissingBytes missing;
  missing.fallback = true;
  set_alphabet(parts, missing);
  return parts;
}

TokenizerParts read_gpt2(const GgufFile& file, const std::string& pre_name) {
  const Pre& pre = find_pre(pre_name, file.path());
  TokenizerParts parts;
  if (pre.nfc) parts.normalizer.add(NormalForm::nfc);
  parts.ignore_merges = pre.ignore_merges;
  parts.pre_tokenizer_name = pre.name;
  parts.decoder.add(ByteCharacters{});
  if (pre.digits) parts.steps.emplace_back(DigitsSplit{true});
  for (const std::string_view pattern : pre.patterns) {
    if (!pattern.empty()) parts.steps.emplace_back(RegexSplit{Regex(pattern, file.path())});
  }
  read_tokens(file, true, parts);
  read_merges(file, parts);
  read_around(file, pre.add_bos, parts);
  set_alphabet(parts);
  return parts;
}

}  // namespace

TokenizerParts read_tokenizer_gguf(const GgufFile& file) {
  const auto* model = file.get<std::string>("tokenizer.ggml.model");
  if (model == nullptr) fail("{}: contains no tokenizer (tokenizer.ggml.model)", file.path());
  if (*model == "llama") return read_llama(file);
  if (*model == "gemma4") return read_gemma4(file);
  if (*model != "gpt2") {
    fail("{}: tokenizer.ggml.model '{}' is not supported; supported: {}", file.path(), printable(*model), kSupported);
  }
  const auto* stated = file.get<std::string>("tokenizer.ggml.pre");
  const std::string pre = stated == nullptr ? "default" : *stated;
  return pre == "gemma4" ? read_gemma4(file) : read_gpt2(file, pre);
}

}  // namespace kvpress
