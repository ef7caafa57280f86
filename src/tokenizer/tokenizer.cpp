#include "kvpress/tokenizer/tokenizer.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "kvpress/base/error.h"
#include "tokenizer/parts.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

/// The caches of words that calls of encode() borrow and give back, so that each is one thread's at a time.
class WordCaches {
 public:
  std::unique_ptr<WordCache> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<WordCache>();
    std::unique_ptr<WordCache> cache = std::move(free_.back());
    free_.pop_back();
    return cache;
  }
  void give_back(std::unique_ptr<WordCache> cache) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(cache));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordCache>> free_;
};

/// What a token stands for in the text.
struct Meaning {
  std::uint32_t begin = 0, length = 0;
  bool special = false;
};

}  // namespace

struct Tokenizer::Impl {
  TokenizerParts parts;
  PreTokenizer pre_tokenizer;
  std::vector<AddedToken> added_tokens;  // the finders point to them
  AddedTokenFinder raw_tokens, normalized_tokens;
  Vocabulary words;  ///< with ignore_merges: the tokens by their bytes
  std::string meanings_text;
  std::vector<Meaning> meanings;
  mutable WordCaches caches;

  explicit Impl(TokenizerParts&& given) : parts(std::move(given)), pre_tokenizer(std::move(parts.steps)) {
    find_added_tokens();
    find_meanings();
  }

  void find_added_tokens() {
    added_tokens = parts.added.tokens();
    for (AddedToken& token : added_tokens) token.special = parts.added.is_special(token.content);
    const AddedToken* first = parts.added.tokens().data();
    // Of two that normalize alike the first counts.
    for (const AddedVocabulary::Pattern& pattern : parts.added.patterns()) {
      std::string storage;
      const AddedToken& token = added_tokens[static_cast<std::size_t>(parts.added.find(pattern.content) - first)];
      if (pattern.normalized) {
        normalized_tokens.add(parts.normalizer.apply(pattern.content, storage), token);
      } else {
        raw_tokens.add(pattern.content, token);
      }
    }
    for (const AddedToken& token : parts.in_normalized) normalized_tokens.add(token.content, token);
  }

  void find_meanings() {
    const ByteAlphabet alphabet;
    std::int32_t end = parts.vocabulary.end_id();
    for (const AddedToken& token : added_tokens) end = std::max(end, token.id + 1);
    meanings.resize(static_cast<std::size_t>(end));
    const auto put = [&](std::int32_t id, std::string_view bytes, bool special) {
      meanings[id] = {static_cast<std::uint32_t>(meanings_text.size()), static_cast<std::uint32_t>(bytes.size()),
                      special};
      meanings_text += bytes;
    };
    const bool by_bytes = parts.kind == TokenizerKind::byte_level;
    for (std::int32_t id = 0; id < parts.vocabulary.end_id(); ++id) {
      const std::string_view token = parts.vocabulary.token(id);
      if (token.empty()) continue;
      const std::string bytes = parts.decoder.bytes_of(token);
      put(id, bytes, false);
      if (!parts.ignore_merges || !by_bytes) continue;
      if (const auto word = alphabet.bytes_of(token)) words.add(*word, id);
    }
    // Those of byte-level BPE are text, not characters that stand for bytes.
    const bool as_is = by_bytes || parts.added_as_is;
    for (const AddedToken& token : added_tokens) {
      put(token.id, as_is ? token.content : parts.decoder.bytes_of(token.content), token.special);
    }
  }

  void encode_word(std::string_view word, WordCache& cache, std::vector<std::int32_t>& ids) const {
    if (parts.unigram) {
      parts.unigram->encode(word, ids);
      return;
    }
    if (parts.ignore_merges || (parts.ignore_merges_of_lines && word.find_first_not_of('\n') == word.npos)) {
      const bool by_bytes = parts.kind == TokenizerKind::byte_level;
      if (const auto id = (by_bytes ? words : parts.vocabulary).find(word)) {
        ids.push_back(*id);
        return;
      }
    }
    parts.encoder.encode(word, cache, ids);
  }

  /// What is written of a token where a text begins.
  std::string first_bytes_of(std::int32_t id) const {
    const auto is_it = [&](const AddedToken& token) { return token.id == id; };
    const auto added = std::find_if(added_tokens.begin(), added_tokens.end(), is_it);
    const bool is_added = added != added_tokens.end();
    return parts.decoder.first_bytes_of(is_added ? added->content : parts.vocabulary.token(id));
  }

  std::string decode(std::span<const std::int32_t> ids, bool skip_special, bool is_begin) const {
    std::string text;
    for (const std::int32_t id : ids) {
      if (id < 0 || static_cast<std::size_t>(id) >= meanings.size()) continue;
      const Meaning& meaning = meanings[id];
      if (skip_special && meaning.special) continue;
      if (is_begin && parts.decoder.begin() != TextBegin::nothing) {
        text += first_bytes_of(id);
        is_begin = parts.decoder.begin() == TextBegin::signs_till_text && text.empty();
      } else {
        text += std::string_view(meanings_text).substr(meaning.begin, meaning.length);
      }
    }
    return text;
  }
};

BosChoice parse_bos_choice(std::string_view text, std::string_view option) {
  if (text == "auto") return BosChoice::automatic;
  if (text == "yes") return BosChoice::yes;
  if (text == "no") return BosChoice::no;
  fail_usage("{}: '{}' is not known; known: auto, yes, no", option, text);
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_json(const std::filesystem::path& tokenizer_json) {
  return Tokenizer(std::make_unique<Impl>(read_tokenizer_json(tokenizer_json)));
}

Tokenizer Tokenizer::from_gguf(const GgufFile& file) {
  return Tokenizer(std::make_unique<Impl>(read_tokenizer_gguf(file)));
}

Tokenizer Tokenizer::from_sentencepiece(const std::filesystem::path& tokenizer_model) {
  return Tokenizer(std::make_unique<Impl>(read_tokenizer_sentencepiece(tokenizer_model)));
}

Tokenizer Tokenizer::from_tekken(const std::filesystem::path& tekken_json) {
  return Tokenizer(std::make_unique<Impl>(read_tokenizer_tekken(tekken_json)));
}

Tokenizer Tokenizer::from_file(const std::filesystem::path& file) {
  if (file.extension() == ".model") return from_sentencepiece(file);
  if (file.filename() == "tekken.json") return from_tekken(file);
  return from_json(file);
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  std::unique_ptr<WordCache> cache = impl_->caches.take();
  const auto on_token = [&](std::int32_t id) { ids.push_back(id); };
  const auto on_word = [&](std::string_view word) { impl_->encode_word(word, *cache, ids); };
  const PreTokenizer::Sink word_sink = on_word;
  std::string valid_storage;
  std::string normalized_storage;
  const std::string_view valid = to_valid_utf8(text, valid_storage);
  impl_->raw_tokens.split(
      valid,
      [&](std::string_view part) {
        bool is_first = part.data() == valid.data();
        const std::string_view normalized = impl_->parts.normalizer.apply(part, normalized_storage, is_first);
        const auto on_normalized = [&](std::string_view piece) {
          impl_->pre_tokenizer.split(piece, word_sink, is_first && piece.data() == normalized.data());
        };
        impl_->normalized_tokens.split(normalized, on_normalized, on_token, impl_->parts.splits_special);
      },
      on_token, impl_->parts.splits_special);
  impl_->caches.give_back(std::move(cache));
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::string text = impl_->decode(ids, skip_special, true);
  impl_->parts.decoder.strip(text);
  return text;
}

std::string Tokenizer::decode_next(std::span<const std::int32_t> ids, bool skip_special) const {
  return impl_->decode(ids, skip_special, false);
}

std::int64_t Tokenizer::vocab_size() const { return static_cast<std::int64_t>(impl_->meanings.size()); }

std::optional<std::int32_t> Tokenizer::eos_id() const { return impl_->parts.eos_id; }
std::optional<std::int32_t> Tokenizer::bos_id() const { return impl_->parts.bos_id; }

TextFrame Tokenizer::frame(BosChoice choice) const {
  const TokenizerParts& parts = impl_->parts;
  if (choice == BosChoice::no) return {};
  TextFrame frame{parts.before_text, parts.after_text};
  if (!parts.no_bos_reason.empty()) fail("{}", parts.no_bos_reason);
  if (choice == BosChoice::automatic || !frame.before.empty()) return frame;
  if (!parts.bos_id) fail_setting("bos", "yes is not possible; the tokenizer has no begin-of-text token");
  frame.before.push_back(*parts.bos_id);
  return frame;
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, BosChoice choice) const {
  TextFrame around = frame(choice);
  std::vector<std::int32_t> ids = std::move(around.before);
  const std::vector<std::int32_t> inner = encode(text);
  ids.insert(ids.end(), inner.begin(), inner.end());
  ids.insert(ids.end(), around.after.begin(), around.after.end());
  return ids;
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  if (const AddedToken* added = impl_->parts.added.find(std::string(token))) return added->id;
  return impl_->parts.vocabulary.find(token);
}

std::string Tokenizer::description() const {
  const TokenizerParts& parts = impl_->parts;
  constexpr std::string_view kKinds[] = {"byte-level BPE", "BPE of characters", "Unigram"};
  std::string text(kKinds[static_cast<std::size_t>(parts.kind)]);
  if (!parts.pre_tokenizer_name.empty()) text += ", pre-tokenizer " + parts.pre_tokenizer_name;
  if (const std::string normalizer = parts.normalizer.description(); !normalizer.empty()) text += ", " + normalizer;
  return fmt::format("{}, {} ids", text, vocab_size());
}

}  // namespace kvpress
