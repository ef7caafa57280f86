#include "tokenizer/json_events.h"

#include <utility>

#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "tokenizer/vocabulary.h"

namespace kvpress {
namespace {

using nlohmann::json;

/// Nothing known nests deeper than a dozen levels.
constexpr std::size_t kMaxDepth = 64;

class Handler : public nlohmann::json_sax<json> {
 public:
  Handler(TokenizerDocument& document, const std::string& path) : document_(document), path_(path) {}

  bool null() override { return value(json(nullptr)); }
  bool boolean(bool val) override { return value(json(val)); }
  bool number_integer(number_integer_t val) override { return number(val, json(val)); }
  bool number_unsigned(number_unsigned_t val) override {
    return number(val > Vocabulary::kMaxId ? Vocabulary::kMaxId + 1 : static_cast<std::int64_t>(val), json(val));
  }
  bool number_float(number_float_t val, const string_t&) override {
    return where_ == Where::piece ? score(val) : value(json(val));
  }
  bool binary(binary_t&) override { return false; }

  bool string(string_t& val) override {
    if (where_ == Where::piece) {
      if (n_in_piece_++ != 0) bad_pieces();
      document_.text += val;
      return true;
    }
    if (where_ != Where::merges && where_ != Where::merge) return value(json(std::move(val)));
    const bool is_pair = where_ == Where::merge;
    if (document_.merge_ends.empty()) document_.merges_are_pairs = is_pair;
    if (document_.merges_are_pairs != is_pair || ++n_in_merge_ > 2) bad_merges();
    document_.merge_text += val;
    document_.merge_ends.push_back(document_.merge_text.size());
    if (!is_pair) n_in_merge_ = 0;
    return true;
  }

  bool start_object(std::size_t) override {
    if (where_ == Where::model && key_ == "vocab") {
      if (std::exchange(document_.has_vocabulary, true)) fail("{}: model.vocab appears twice", path_);
      where_ = Where::vocabulary;
      return true;
    }
    return open(json::object());
  }
  bool key(string_t& val) override {
    if (where_ == Where::vocabulary) {
      document_.text += val;
    } else {
      key_ = std::move(val);
    }
    return true;
  }
  bool end_object() override {
    if (where_ == Where::vocabulary) {
      where_ = Where::model;
      return true;
    }
    return close();
  }

  bool start_array(std::size_t) override {
    if (where_ == Where::model && key_ == "vocab") {
      if (std::exchange(document_.has_vocabulary, true)) fail("{}: model.vocab appears twice", path_);
      document_.has_scores = true;
      where_ = Where::pieces;
      return true;
    }
    if (where_ == Where::pieces) {
      where_ = Where::piece;
      n_in_piece_ = 0;
      ++n_pieces_;
      return true;
    }
    if (where_ == Where::model && key_ == "merges") {
      if (std::exchange(document_.has_merges, true)) fail("{}: model.merges appears twice", path_);
      where_ = Where::merges;
      return true;
    }
    if (where_ == Where::merges) {
      where_ = Where::merge;
      n_in_merge_ = 0;
      return true;
    }
    return open(json::array());
  }
  bool end_array() override {
    if (where_ == Where::piece) {
      if (n_in_piece_ != 2) bad_pieces();
      where_ = Where::pieces;
      return true;
    }
    if (where_ == Where::pieces) {
      where_ = Where::model;
      return true;
    }
    if (where_ == Where::merge) {
      if (n_in_merge_ != 2) bad_merges();
      where_ = Where::merges;
      n_in_merge_ = 0;
      return true;
    }
    if (where_ == Where::merges) {
      where_ = Where::model;
      return true;
    }
    return close();
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    fail("{}: is not valid JSON (at byte {})", path_, position);
  }

 private:
  enum class Where { elsewhere, model, vocabulary, pieces, piece, merges, merge };

  [[noreturn]] void bad_merges() const {
    fail("{}: model.merges: merge {} is neither \"a b\" nor [\"a\", \"b\"], as all of them must be", path_,
         document_.merge_ends.size() / (document_.merges_are_pairs ? 2 : 1));
  }

  [[noreturn]] void bad_pieces() const {
    fail("{}: model.vocab: entry {} is not [\"token\", score]", path_,
         where_ == Where::piece ? n_pieces_ - 1 : n_pieces_);
  }

  bool score(double val) {
    if (n_in_piece_++ != 1) bad_pieces();
    if (document_.tokens.size() > static_cast<std::size_t>(Vocabulary::kMaxId)) {
      fail("{}: model.vocab has more than {} tokens", path_, Vocabulary::kMaxId);
    }
    document_.tokens.push_back({document_.text.size(), static_cast<std::int64_t>(document_.scores.size())});
    document_.scores.push_back(val);
    return true;
  }

  bool number(std::int64_t whole, json other) {
    if (where_ == Where::piece) return score(other.get<double>());
    if (where_ != Where::vocabulary) return value(std::move(other));
    if (whole < 0 || whole > Vocabulary::kMaxId) {
      fail("{}: model.vocab: the id of a token must be from 0 to {}", path_, Vocabulary::kMaxId);
    }
    document_.tokens.push_back({document_.text.size(), whole});
    return true;
  }

  /// Puts a value into the object or array that is open; answers where it is now.
  json* put(json&& it) {
    if (where_ == Where::vocabulary) fail("{}: model.vocab: the id of a token must be a whole number", path_);
    if (where_ == Where::merges || where_ == Where::merge) bad_merges();
    if (where_ == Where::pieces || where_ == Where::piece) bad_pieces();
    if (open_.empty()) return &(document_.rest = std::move(it));
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(it));
      return &parent.back();
    }
    return &(parent[key_] = std::move(it));
  }
  bool value(json it) {
    put(std::move(it));
    return true;
  }
  bool open(json it) {
    const bool is_model = open_.size() == 1 && it.is_object() && open_.back()->is_object() && key_ == "model";
    json* placed = put(std::move(it));
    if (open_.size() == kMaxDepth) fail("{}: is nested deeper than {} levels", path_, kMaxDepth);
    open_.push_back(placed);
    if (is_model) {
      where_ = Where::model;
    } else if (where_ == Where::model) {
      where_ = Where::elsewhere;  // within a part of the model
    }
    key_.clear();
    return true;
  }
  bool close() {
    open_.pop_back();
    key_.clear();
    where_ = open_.size() == 2 && document_.rest.contains("model") && open_.back() == &document_.rest["model"]
                 ? Where::model
                 : Where::elsewhere;
    return true;
  }

  TokenizerDocument& document_;
  const std::string& path_;
  std::vector<json*> open_;
  std::string key_;
  Where where_ = Where::elsewhere;
  int n_in_merge_ = 0;
  int n_in_piece_ = 0;
  std::size_t n_pieces_ = 0;
};

}  // namespace

TokenizerDocument parse_tokenizer_document(std::string_view text, const std::string& path) {
  TokenizerDocument document;
  document.text.reserve(text.size() / 4);
  document.merge_text.reserve(text.size() / 4);
  Handler handler(document, path);
  json::sax_parse(text.begin(), text.end(), &handler);
  return document;
}

}  // namespace kvpress
