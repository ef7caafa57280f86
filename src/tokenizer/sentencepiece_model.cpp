#include "tokenizer/sentencepiece_model.h"

#include <cmath>
#include <cstring>

#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

namespace kvpress {
namespace {

/// The fields of one message, one after another.
class Fields {
 public:
  Fields(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  /// Goes to the next field; false at the end.
  bool next() {
    if (bytes_.empty()) return false;
    const std::uint64_t key = read_number();
    field_ = key >> 3;
    wire_ = static_cast<int>(key & 7);
    if (field_ == 0) damaged();
    switch (wire_) {
      case 0:
        number_ = read_number();
        return true;
      case 1:
        text_ = take(8);
        return true;
      case 2:
        text_ = take(read_number());
        return true;
      case 5:
        text_ = take(4);
        return true;
      default:
        damaged();
    }
  }

  std::uint64_t field() const { return field_; }
  std::uint64_t number() const { return need(0), number_; }
  bool flag() const { return number() != 0; }
  std::string_view text() const { return need(2), text_; }
  float real() const {
    need(5);
    float value = 0;
    std::memcpy(&value, text_.data(), sizeof value);
    return value;
  }

 private:
  [[noreturn]] void damaged() const { fail("{}: is no model of SentencePiece, or damaged", path_); }
  void need(int wire) const {
    if (wire_ != wire) damaged();
  }
  std::uint64_t read_number() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (bytes_.empty()) damaged();
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    damaged();
  }
  std::string_view take(std::uint64_t n) {
    if (n > bytes_.size()) damaged();
    const std::string_view taken = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return taken;
  }

  std::string_view bytes_;
  const std::string& path_;
  std::uint64_t field_ = 0, number_ = 0;
  int wire_ = 0;
  std::string_view text_;
};

SentencePieceModel::Piece read_piece(std::string_view bytes, std::size_t id, const std::string& path) {
  SentencePieceModel::Piece piece;
  for (Fields fields(bytes, path); fields.next();) {
    if (fields.field() == 1) {
      piece.text = fields.text();
    } else if (fields.field() == 2) {
      piece.score = fields.real();
    } else if (fields.field() == 3) {
      const std::uint64_t type = fields.number();
      if (type < 1 || type > 6) fail("{}: piece {} is of type {}; types are 1 to 6", path, id, type);
      piece.type = static_cast<SentencePieceModel::Type>(type);
    }
  }
  std::string storage;
  if (piece.text.empty()) fail("{}: piece {} is empty", path, id);
  if (to_valid_utf8(piece.text, storage).data() != piece.text.data()) {
    fail("{}: piece {} is not valid UTF-8", path, id);
  }
  if (!std::isfinite(piece.score)) fail("{}: piece {} has a score that is not finite", path, id);
  return piece;
}

void read_trainer(std::string_view bytes, const std::string& path, SentencePieceModel& model) {
  for (Fields fields(bytes, path); fields.next();) {
    switch (fields.field()) {
      case 3: {
        const std::uint64_t kind = fields.number();
        if (kind != 1 && kind != 2) {
          fail("{}: model_type {} is not supported; supported: 1 (Unigram), 2 (BPE)", path, kind);
        }
        model.kind = static_cast<SentencePieceModel::Kind>(kind);
        break;
      }
      case 24:
        model.space_is_suffix = fields.flag();
        break;
      case 35:
        model.byte_fallback = fields.flag();
        break;
      case 46:
        model.bos = fields.text();
        break;
      case 47:
        model.eos = fields.text();
        break;
      default:
        break;
    }
  }
}

void read_normalizer(std::string_view bytes, const std::string& path, SentencePieceModel& model) {
  for (Fields fields(bytes, path); fields.next();) {
    if (fields.field() == 2) model.chars_map = fields.text();
    if (fields.field() == 3) model.add_prefix = fields.flag();
    if (fields.field() == 4) model.remove_extra_spaces = fields.flag();
    if (fields.field() == 5) model.escape_spaces = fields.flag();
  }
}

void refuse_denormalizer(std::string_view bytes, const std::string& path) {
  for (Fields fields(bytes, path); fields.next();) {
    if (fields.field() == 2 && !fields.text().empty()) fail("{}: denormalizer_spec is not supported", path);
  }
}

}  // namespace

SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& path) {
  SentencePieceModel model;
  for (Fields fields(bytes, path); fields.next();) {
    if (fields.field() == 1) {
      if (model.pieces.size() > static_cast<std::size_t>(Vocabulary::kMaxId)) {
        fail("{}: has more than {} pieces", path, Vocabulary::kMaxId);
      }
      model.pieces.push_back(read_piece(fields.text(), model.pieces.size(), path));
    } else if (fields.field() == 2) {
      read_trainer(fields.text(), path, model);
    } else if (fields.field() == 3) {
      read_normalizer(fields.text(), path, model);
    } else if (fields.field() == 5) {
      refuse_denormalizer(fields.text(), path);
    }
  }
  if (model.pieces.empty()) fail("{}: has no pieces; it is no model of SentencePiece", path);
  return model;
}

}  // namespace kvpress
