#include <nlohmann/json.hpp>

#include <optional>
#include <utility>

#include "base/file.h"
#include "base/json_text.h"
#include "formats/lfs_pointer.h"
#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "tokenizer/json_events.h"
#include "tokenizer/json_pipeline.h"
#include "tokenizer/json_reader.h"
#include "tokenizer/parts.h"
#include "tokenizer/special_tokens.h"

namespace kvpress {
namespace {

using nlohmann::json;

/// Returns what becomes of bytes and characters that are not in the vocabulary.
MissingBytes read_bpe(const JsonReader& reader, const json& model, const TokenizerDocument& document,
                      TokenizerParts& parts) {
  reader.allow(model, "model",
               {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (!document.has_vocabulary || document.has_scores || !document.has_merges) {
    fail("{}: model: vocab (an object) and merges (an array) are needed", reader.path());
  }
  if (const json& dropout = JsonReader::field(model, "dropout"); !dropout.is_null() && dropout != 0) {
    fail("{}: model: dropout is not supported; it must be null", reader.path());
  }
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const json& it = JsonReader::field(model, name); !it.is_null() && it != "") {
      fail("{}: model: {} is not supported; it must be null or empty", reader.path(), name);
    }
  }
  parts.ignore_merges = reader.flag(model, "ignore_merges", false, "model");
  MissingBytes missing;
  missing.fallback = reader.flag(model, "byte_fallback", false, "model");
  missing.fuse_unk = reader.flag(model, "fuse_unk", false, "model");
  if (!JsonReader::field(model, "unk_token").is_null()) missing.unk_token = reader.text(model, "unk_token", "model");
  return missing;
}

void check_unigram(const JsonReader& reader, const json& model, const TokenizerDocument& document) {
  reader.allow(model, "model", {"type", "unk_id", "vocab", "byte_fallback"});
  if (!document.has_scores) {
    fail("{}: model: vocab must be an array of tokens and scores", reader.path());
  }
}

/// After the vocabulary is read.
void read_unigram(const JsonReader& reader, const json& model, const TokenizerDocument& document,
                  TokenizerParts& parts) {
  const std::size_t n_pieces = document.scores.size();
  std::optional<std::int32_t> unknown;
  if (const json& id = JsonReader::field(model, "unk_id"); !id.is_null()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= n_pieces) {
      fail("{}: model: unk_id is {}; it must be the number of a token", reader.path(), brief(id));
    }
    unknown = id.get<std::int32_t>();
  }
  std::vector<UnigramPiece> pieces(n_pieces);
  for (std::size_t i = 0; i < n_pieces; ++i) {
    pieces[i] = {parts.vocabulary.token(static_cast<std::int32_t>(i)), document.scores[i]};
  }
  parts.unigram.emplace(pieces, UnigramKind::tokenizers, unknown);
  if (!unknown) {
    parts.unigram->refuse_unknown(
        fmt::format("{}: model: unk_id is null, but the text has a character that is no token", reader.path()));
  }
  if (!reader.flag(model, "byte_fallback", false, "model")) return;
  for (int byte = 0; byte < 256; ++byte) {
    const auto id = byte_token(parts.vocabulary, static_cast<unsigned char>(byte));
    if (id) parts.unigram->set_byte_token(static_cast<unsigned char>(byte), *id);
  }
}

void read_vocabulary(const JsonReader& reader, const TokenizerDocument& document, TokenizerParts& parts) {
  parts.vocabulary.reserve(document.tokens.size());
  std::size_t begin = 0;
  for (const auto& [end, id] : document.tokens) {
    const std::string_view token = std::string_view(document.text).substr(begin, end - begin);
    if (!parts.vocabulary.add(token, static_cast<std::int32_t>(id))) {
      fail("{}: model.vocab: token {} or id {} appears twice", reader.path(), printable(token), id);
    }
    begin = end;
  }
}

void read_merges(const JsonReader& reader, const TokenizerDocument& document, TokenizerParts& parts) {
  const std::string_view text = document.merge_text;
  const std::vector<std::size_t>& ends = document.merge_ends;
  MergeReader merges(parts, reader.path());
  parts.encoder.reserve(ends.size());
  std::size_t begin = 0;
  if (document.merges_are_pairs) {
    for (std::size_t i = 0; i + 1 < ends.size(); i += 2) {
      merges.add(text.substr(begin, ends[i] - begin), text.substr(ends[i], ends[i + 1] - ends[i]));
      begin = ends[i + 1];
    }
    return;
  }
  for (const std::size_t end : ends) {
    const std::string_view line = text.substr(begin, end - begin);
    if (!line.starts_with("#version")) merges.add(line);
    begin = end;
  }
}

/// Ids are given as the reference gives them: a token that is in the vocabulary keeps its id, the others follow behind
/// it in their order. (The file's own ids say the same, or the reference warns and goes its way.)
std::vector<StatedToken> read_added_tokens(const JsonReader& reader, const json& rest, TokenizerParts& parts) {
  std::vector<StatedToken> stated;
  std::vector<AddedToken> tokens;
  const json& list = JsonReader::field(rest, "added_tokens");
  if (list.is_null()) return stated;
  if (!list.is_array()) fail("{}: added_tokens must be an array", reader.path());
  for (const json& it : list) {
    AddedToken token = read_added_token(it, reader.path(), "added_tokens");
    if (token.content.empty()) continue;
    const json& id = JsonReader::field(it, "id");
    const bool has_id = id.is_number_unsigned() && id.get<std::uint64_t>() <= Vocabulary::kMaxId;
    tokens.push_back(token);
    stated.push_back({has_id ? id.get<std::int64_t>() : -1, std::move(token)});
  }
  parts.added.add(tokens, parts.vocabulary, reader.path());
  for (StatedToken& it : stated) {
    const std::int32_t id = parts.added.find(it.token.content)->id;
    if (it.id >= 0 && it.id != id) {
      log_warning_once(fmt::format("{}: added_tokens: {} has id {} by its position, but {} in the file", reader.path(),
                                   printable(it.token.content), id, it.id));
    }
    if (it.id < 0) it.id = id;
  }
  return stated;
}

/// The token that the file pads with; transformers takes it for the tokenizer's.
std::string padding_token(const JsonReader& reader, const json& rest) {
  const json& padding = JsonReader::field(rest, "padding");
  const json& token = JsonReader::field(padding, "pad_token");
  return token.is_null() ? "" : reader.text(padding, "pad_token", "padding");
}

}  // namespace

TokenizerParts read_tokenizer_json(const std::filesystem::path& path) {
  const JsonReader reader(path.string());
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  refuse_lfs_pointer(text, reader.path());
  const TokenizerDocument document = parse_tokenizer_document(text, reader.path());
  if (!document.rest.is_object()) fail("{}: is not a JSON object", reader.path());

  TokenizerParts parts;
  reader.allow(document.rest, "",
               {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
                "decoder", "model"});
  const json& model = JsonReader::field(document.rest, "model");
  if (!model.is_object()) fail("{}: has no model; a BPE or Unigram model is needed", reader.path());
  const std::string type = JsonReader::field(model, "type").is_null() ? "BPE" : reader.text(model, "type", "model");
  MissingBytes missing;
  if (type == "BPE") {
    missing = read_bpe(reader, model, document, parts);
  } else if (type == "Unigram") {
    check_unigram(reader, model, document);
    parts.kind = TokenizerKind::unigram;
  } else {
    reader.unknown("model", type, "BPE, Unigram");
  }
  read_json_normalizer(reader, document.rest, parts);
  read_json_pre_tokenizer(reader, document.rest, parts);
  read_json_post_processor(reader, document.rest, parts);
  read_json_decoder(reader, document.rest, parts);
  read_vocabulary(reader, document, parts);
  if (parts.kind == TokenizerKind::unigram) {
    read_unigram(reader, model, document, parts);
  } else {
    read_merges(reader, document, parts);
    set_alphabet(parts, missing, reader.path());
  }
  const std::vector<StatedToken> added = read_added_tokens(reader, document.rest, parts);
  read_special_tokens(path.parent_path(), added, padding_token(reader, document.rest), parts);
  return parts;
}

}  // namespace kvpress
