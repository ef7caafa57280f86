// Mistral's tekken.json: byte-level BPE whose tokens are ranked, as tiktoken has it.
#include <nlohmann/json.hpp>

#include <iterator>
#include <utility>

#include "base/file.h"
#include "base/json_text.h"
#include "formats/lfs_pointer.h"
#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "tokenizer/base64.h"
#include "tokenizer/json_reader.h"
#include "tokenizer/parts.h"

namespace kvpress {
namespace {

using nlohmann::json;

/// The special tokens of files that do not list them.
constexpr std::string_view kSpecial[] = {"<unk>",
                                         "<s>",
                                         "</s>",
                                         "[INST]",
                                         "[/INST]",
                                         "[AVAILABLE_TOOLS]",
                                         "[/AVAILABLE_TOOLS]",
                                         "[TOOL_RESULTS]",
                                         "[/TOOL_RESULTS]",
                                         "[TOOL_CALLS]",
                                         "[IMG]",
                                         "<pad>",
                                         "[IMG_BREAK]",
                                         "[IMG_END]",
                                         "[PREFIX]",
                                         "[MIDDLE]",
                                         "[SUFFIX]",
                                         "[SYSTEM_PROMPT]",
                                         "[/SYSTEM_PROMPT]",
                                         "[TOOL_CONTENT]"};

std::int64_t read_size(const JsonReader& reader, const json& config, const char* name) {
  const json& value = JsonReader::field(config, name);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > Vocabulary::kMaxId) {
    fail("{}: config: {} is {}; it must be a whole number up to {}", reader.path(), name, brief(value),
         Vocabulary::kMaxId);
  }
  return value.get<std::int64_t>();
}

/// The rank of an entry of a list, which must be its place there.
void check_rank(const JsonReader& reader, const json& entry, std::size_t place, const std::string& of) {
  if (JsonReader::field(entry, "rank") != place) {
    fail("{}: {}: the rank of entry {} is {}; it must be {}", reader.path(), of, place,
         brief(JsonReader::field(entry, "rank")), place);
  }
}

/// They have the first ids; those that are not named are fillers.
void read_special(const JsonReader& reader, const json& document, std::size_t n_special, TokenizerParts& parts) {
  std::vector<std::string> names(std::begin(kSpecial), std::end(kSpecial));
  if (const json& list = JsonReader::field(document, "special_tokens"); !list.is_null()) {
    if (!list.is_array()) fail("{}: special_tokens must be an array", reader.path());
    names.clear();
    for (const json& it : list) {
      check_rank(reader, it, names.size(), "special_tokens");
      names.push_back(reader.text(it, "token_str", "special_tokens"));
    }
  }
  if (names.size() > n_special) {
    fail("{}: has {} special tokens, but config: default_num_special_tokens is {}", reader.path(), names.size(),
         n_special);
  }
  while (names.size() < n_special) names.push_back(fmt::format("<SPECIAL_{}>", names.size()));
  std::vector<AddedToken> tokens;
  for (std::size_t i = 0; i < n_special; ++i) {
    if (names[i].empty() || !parts.vocabulary.add(names[i], static_cast<std::int32_t>(i))) {
      fail("{}: special_tokens: entry {} is '{}'; it must be the name of one token", reader.path(), i,
           printable(names[i]));
    }
    AddedToken token;
    token.content = names[i];
    token.special = true;
    tokens.push_back(std::move(token));
  }
  parts.added.add(tokens, parts.vocabulary, reader.path());
  parts.bos_id = parts.vocabulary.find("<s>");
  parts.eos_id = parts.vocabulary.find("</s>");
}

void read_ranks(const JsonReader& reader, const json& document, std::size_t n_special, std::size_t n_tokens,
                TokenizerParts& parts) {
  const json& list = JsonReader::field(document, "vocab");
  if (!list.is_array() || list.size() < n_tokens) {
    fail("{}: vocab must be an array of at least {} tokens", reader.path(), n_tokens);
  }
  const ByteAlphabet alphabet;
  std::vector<float> scores(n_special, 0.0f);
  std::vector<bool> takes_part(n_special, false);
  for (std::size_t rank = 0; rank < n_tokens; ++rank) {
    const json& entry = list[rank];
    check_rank(reader, entry, rank, "vocab");
    const auto bytes = from_base64(reader.text(entry, "token_bytes", "vocab"));
    if (!bytes || bytes->empty()) {
      fail("{}: vocab: token_bytes of entry {} are not base64 of a token", reader.path(), rank);
    }
    std::string token;
    for (const char c : *bytes) token += alphabet.character(static_cast<unsigned char>(c));
    if (!parts.vocabulary.add(token, static_cast<std::int32_t>(n_special + rank))) {
      fail("{}: vocab: entry {} is the token of another", reader.path(), rank);
    }
    scores.push_back(-static_cast<float>(rank));
    takes_part.push_back(true);
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (parts.vocabulary.find(alphabet.character(static_cast<unsigned char>(byte)))) continue;
    fail("{}: vocab: byte {} is no token; every byte must be one", reader.path(), byte);
  }
  add_scored_merges(parts, scores, takes_part, reader.path());
}

}  // namespace

TokenizerParts read_tokenizer_tekken(const std::filesystem::path& path) {
  const JsonReader reader(path.string());
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  refuse_lfs_pointer(text, reader.path());
  const json document = parse_json(text, reader.path());
  const json& config = JsonReader::field(document, "config");
  if (!config.is_object()) fail("{}: has no config; it is no tekken.json", reader.path());
  const std::int64_t n_special = read_size(reader, config, "default_num_special_tokens");
  const std::int64_t n_ids = read_size(reader, config, "default_vocab_size");
  if (n_ids < n_special) {
    fail("{}: config: default_vocab_size is {}, but {} ids are special", reader.path(), n_ids, n_special);
  }
  TokenizerParts parts;
  parts.steps.emplace_back(RegexSplit{Regex(reader.text(config, "pattern", "config"), reader.path() + ": config")});
  parts.pre_tokenizer_name = "tekken";
  parts.ignore_merges = true;
  parts.decoder.add(ByteCharacters{});
  read_special(reader, document, static_cast<std::size_t>(n_special), parts);
  read_ranks(reader, document, static_cast<std::size_t>(n_special), static_cast<std::size_t>(n_ids - n_special), parts);
  set_alphabet(parts);
  if (parts.bos_id) parts.before_text.push_back(*parts.bos_id);
  return parts;
}

}  // namespace kvpress
