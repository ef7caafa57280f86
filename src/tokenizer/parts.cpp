#include "tokenizer/parts.h"

#include "formats/printable.h"
#include "kvpress/base/error.h"

namespace kvpress {

void set_bytes(TokenizerParts& parts, const MissingBytes& missing, const std::string& path) {
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
        const auto id = parts.vocabulary.find(fmt::format("<0x{:02X}>", static_cast<unsigned char>(c)));
        if (id) ids.push_back(*id);
      }
    }
    if (ids.size() == character.size()) parts.encoder.set_fallback(static_cast<unsigned char>(byte), ids);
  }
  if (!missing.unk_token) return;
  if (const auto id = parts.vocabulary.find(*missing.unk_token)) {
    parts.encoder.set_unknown(*id, missing.fuse_unk);
  } else {
    parts.encoder.refuse_unknown(fmt::format("{}: model: unk_token {} is needed, but is not in the vocabulary", path,
                                             printable(*missing.unk_token)));
  }
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
