#include "tokenizer/parts.h"

#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "tokenizer/unicode.h"

namespace kvpress {

namespace {

void set_bytes(TokenizerParts& parts, const MissingBytes& missing) {
  const ByteAlphabet alphabet;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string& character = alphabet.character(static_cast<unsigned char>(byte));
    if (const auto id = parts.vocabulary.find(character)) {
      parts.encoder.set_byte(static_cast<unsigned char>(byte), *id);
      continue;
    }
    std::vector<std::int32_t> ids;
    if (missing.fallback) {
      for (const char c : character) {
        const auto id = byte_token(parts.vocabulary, static_cast<unsigned char>(c));
        if (id) ids.push_back(*id);
      }
    }
    if (ids.size() == character.size()) parts.encoder.set_fallback(static_cast<unsigned char>(byte), ids);
  }
}

void set_characters(TokenizerParts& parts, const MissingBytes& missing) {
  parts.encoder.use_characters();
  for (std::int32_t id = 0; id < parts.vocabulary.end_id(); ++id) {
    const std::string_view token = parts.vocabulary.token(id);
    if (token.empty()) continue;
    std::size_t end = 0;
    const char32_t code = next_code_point(token, end);
    if (end == token.size()) parts.encoder.set_character(code, id);
  }
  for (int byte = 0; missing.fallback && byte < 256; ++byte) {
    const auto id = byte_token(parts.vocabulary, static_cast<unsigned char>(byte));
    if (id) parts.encoder.set_byte_token(static_cast<unsigned char>(byte), *id);
  }
}

}  // namespace

std::optional<std::int32_t> byte_token(const Vocabulary& vocabulary, unsigned char byte) {
  return vocabulary.find(fmt::format("<0x{:02X}>", byte));
}

void set_alphabet(TokenizerParts& parts, const MissingBytes& missing, const std::string& path) {
  if (parts.kind == TokenizerKind::byte_level) {
    set_bytes(parts, missing);
  } else {
    set_characters(parts, missing);
  }
  if (!missing.unk_token) return;
  if (const auto id = parts.vocabulary.find(*missing.unk_token)) {
    parts.encoder.set_unknown(*id, missing.fuse_unk);
  } else {
    parts.encoder.refuse_unknown(fmt::format("{}: model: unk_token {} is needed, but is not in the vocabulary", path,
                                             printable(*missing.unk_token)));
  }
}

Decoder space_sign_decoder() {
  Decoder decoder;
  decoder.add(ReplaceInToken{Regex::literal(kSpaceSign, "decoder"), " "});
  decoder.add(ByteTokens{});
  return decoder;
}

std::int32_t MergeReader::id_of(std::string_view token) const {
  const auto id = parts_.vocabulary.find(token);
  if (!id) {
    fail("{}: merge {} needs the token {}, which is not in the vocabulary", path_, rank_, printable(token));
  }
  return *id;
}

void MergeReader::add(std::string_view left, std::string_view right) {
  const std::int32_t left_id = id_of(left);
  const std::int32_t right_id = id_of(right);
  joined_.assign(left);
  joined_ += right;
  if (parts_.kind == TokenizerKind::characters && !left.empty() && !right.empty()) {
    std::size_t at = 0;
    parts_.encoder.add_joint(last_code_point(left), next_code_point(right, at));
  }
  parts_.encoder.add_merge(left_id, right_id, rank_, id_of(joined_));
  ++rank_;
}

void MergeReader::add(std::string_view line) {
  const auto space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    fail("{}: merge {} is '{}'; it must be two tokens separated by a space", path_, rank_, printable(line));
  }
  add(line.substr(0, space), line.substr(space + 1));
}

}  // namespace kvpress
