#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/json_text.h"
#include "formats/lfs_pointer.h"
#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "tokenizer/parts.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/special_tokens.h"

namespace kvpress {
namespace {

using Type = SentencePieceModel::Type;

/// The tokens and, of those that are not found by their scores, what is looked for in the text.
std::int32_t read_pieces(const SentencePieceModel& model, const std::string& path, TokenizerParts& parts) {
  std::optional<std::int32_t> unknown;
  std::vector<AddedToken> special;
  std::size_t n_bytes = 0;
  parts.vocabulary.reserve(model.pieces.size());
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    const SentencePieceModel::Piece& piece = model.pieces[i];
    const auto id = static_cast<std::int32_t>(i);
    if (!parts.vocabulary.add(piece.text, id)) fail("{}: piece {} appears twice", path, printable(piece.text));
    if (piece.type == Type::unused && model.kind == SentencePieceModel::Kind::bpe) {
      fail("{}: piece {} is of type 5 (unused), which is not supported of BPE", path, i);
    }
    if (piece.type == Type::unknown && std::exchange(unknown, id)) fail("{}: two pieces are of type 2 (unknown)", path);
    if (piece.type == Type::byte) ++n_bytes;
    AddedToken token;
    token.id = id;
    token.content = piece.text;
    if (piece.type == Type::control || piece.type == Type::unknown) {
      token.special = true;
      special.push_back(std::move(token));
    } else if (piece.type == Type::user_defined && model.kind == SentencePieceModel::Kind::bpe) {
      parts.in_normalized.push_back(std::move(token));
    }
  }
  if (!unknown) fail("{}: no piece is of type 2 (unknown); one is needed", path);
  if (n_bytes != (model.byte_fallback ? 256u : 0u)) {
    fail("{}: byte_fallback is {}, but {} pieces are of type 6 (byte)", path, model.byte_fallback, n_bytes);
  }
  parts.added.add(special, parts.vocabulary, path);
  return *unknown;
}

void read_normalizer(const SentencePieceModel& model, const std::string& path, TokenizerParts& parts) {
  SentencePieceRules rules;
  rules.rules = CharsMap(model.chars_map, path);
  std::vector<std::pair<std::string_view, std::int32_t>> untouched;
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    if (piece.type == Type::user_defined) untouched.emplace_back(piece.text, 0);
  }
  rules.untouched = ByteTrie(std::move(untouched));
  rules.add_prefix = model.add_prefix;
  rules.prefix_is_suffix = model.space_is_suffix;
  rules.remove_extra_spaces = model.remove_extra_spaces;
  rules.escape_spaces = model.escape_spaces;
  parts.normalizer.add(std::move(rules));

  parts.decoder = space_sign_decoder();
  if (model.remove_extra_spaces) {
    parts.decoder.set_begin(TextBegin::signs_till_text, std::string(kSpaceSign));
  } else if (model.add_prefix) {
    parts.decoder.set_begin(TextBegin::sign_of_first, std::string(kSpaceSign));
  }
}

void read_bpe(const SentencePieceModel& model, std::int32_t unknown, const std::string& path, TokenizerParts& parts) {
  parts.kind = TokenizerKind::characters;
  std::vector<float> scores;
  std::vector<bool> takes_part;
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    scores.push_back(piece.score);
    takes_part.push_back(piece.type == Type::normal || piece.type == Type::user_defined);
  }
  add_scored_merges(parts, scores, takes_part, path);
  parts.encoder.set_unknown(unknown, true);
}

void read_unigram(const SentencePieceModel& model, std::int32_t unknown, TokenizerParts& parts) {
  parts.kind = TokenizerKind::unigram;
  std::vector<UnigramPiece> pieces;
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    const bool is_user_defined = piece.type == Type::user_defined;
    pieces.push_back({piece.text, piece.score, is_user_defined, piece.type != Type::normal && !is_user_defined});
  }
  parts.unigram.emplace(pieces, UnigramKind::sentencepiece, unknown);
}

void set_byte_tokens(const std::string& path, TokenizerParts& parts) {
  for (int byte = 0; byte < 256; ++byte) {
    const auto id = byte_token(parts.vocabulary, static_cast<unsigned char>(byte));
    if (!id) fail("{}: byte_fallback is true, but there is no piece <0x{:02X}>", path, byte);
    if (parts.unigram) {
      parts.unigram->set_byte_token(static_cast<unsigned char>(byte), *id);
    } else {
      parts.encoder.set_byte_token(static_cast<unsigned char>(byte), *id);
    }
  }
}

/// The tokens around a text are not in the model. transformers' tokenizers of such models begin texts with a
/// begin-of-text token unless tokenizer_config.json says otherwise.
void read_around(const std::filesystem::path& folder, const SentencePieceModel& model, TokenizerParts& parts) {
  const auto piece = [&](const std::string& text) -> std::optional<std::int32_t> {
    const auto id = parts.vocabulary.find(text);
    return id && model.pieces[static_cast<std::size_t>(*id)].type != Type::unknown ? id : std::nullopt;
  };
  parts.bos_id = piece(model.bos);
  const std::filesystem::path config = folder / "tokenizer_config.json";
  read_special_tokens(folder, {}, "", parts);
  if (!parts.eos_id) parts.eos_id = piece(model.eos);
  nlohmann::json json;
  std::error_code error;
  if (std::filesystem::is_regular_file(config, error)) json = parse_json(read_file(config), config.string());
  const auto flag = [&](const char* name, bool fallback) {
    const auto it = json.find(name);
    if (!json.is_object() || it == json.end() || it->is_null()) return fallback;
    if (!it->is_boolean()) fail("{}: {} must be true or false", config.string(), name);
    return it->get<bool>();
  };
  if (flag("add_bos_token", true) && parts.bos_id) parts.before_text.push_back(*parts.bos_id);
  if (flag("add_eos_token", false) && parts.eos_id) parts.after_text.push_back(*parts.eos_id);
}

}  // namespace

TokenizerParts read_tokenizer_sentencepiece(const std::filesystem::path& path) {
  const std::string name = path.string();
  const MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  refuse_lfs_pointer(bytes, name);
  const SentencePieceModel model = read_sentencepiece_model(bytes, name);
  TokenizerParts parts;
  const std::int32_t unknown = read_pieces(model, name, parts);
  read_normalizer(model, name, parts);
  if (model.kind == SentencePieceModel::Kind::bpe) {
    read_bpe(model, unknown, name, parts);
  } else {
    read_unigram(model, unknown, parts);
  }
  if (model.byte_fallback) set_byte_tokens(name, parts);
  read_around(path.parent_path(), model, parts);
  return parts;
}

}  // namespace kvpress
