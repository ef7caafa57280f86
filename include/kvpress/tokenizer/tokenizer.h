// Tokenizers (BPE and Unigram), read from a tokenizer.json, a SentencePiece model, a tekken.json or a GGUF. The ids
// equal those of the reference implementations (https://github.com/huggingface/tokenizers, sentencepiece,
// mistral-common and llama.cpp); an unsupported pipeline is an error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/formats/gguf.h"

namespace kvpress {

/// Whether tokens are put around a text.
enum class BosChoice : std::uint8_t {
  automatic,  ///< what the reference puts there: the post-processor of tokenizer.json, llama.cpp's rules for a GGUF
  yes,        ///< the same, and the begin-of-text token where the reference puts nothing before the text
  no          ///< nothing
};
/// "auto", "yes" or "no". Throws UsageError naming `option`.
BosChoice parse_bos_choice(std::string_view text, std::string_view option);

/// The tokens that are put around a text.
struct TextFrame {
  std::vector<std::int32_t> before, after;
};

/// A tokenizer. All const functions are thread-safe.
class Tokenizer {
 public:
  /// Throws Error with the file and the part of the pipeline that is not supported.
  static Tokenizer from_json(const std::filesystem::path& tokenizer_json);
  /// Reads a tokenizer.model of SentencePiece, and the special tokens of the files beside it.
  static Tokenizer from_sentencepiece(const std::filesystem::path& tokenizer_model);
  static Tokenizer from_tekken(const std::filesystem::path& tekken_json);
  /// Whichever of the above the file's name says.
  static Tokenizer from_file(const std::filesystem::path& file);
  /// Reads the models `gpt2` (with its `pre` name), `llama` and `gemma4`. Throws Error with the part that is not
  /// supported.
  static Tokenizer from_gguf(const GgufFile& file);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// The ids of `text`. Special tokens in the text are recognized (as in the reference); none are added. `text` may
  /// contain any bytes: invalid UTF-8 is read as U+FFFD, as with Python's errors="replace".
  std::vector<std::int32_t> encode(std::string_view text) const;
  /// The same, between the tokens of frame(choice).
  std::vector<std::int32_t> encode(std::string_view text, BosChoice choice) const;
  /// Throws Error or UsageError if a begin-of-text token is wanted and there is none.
  TextFrame frame(BosChoice choice) const;

  /// The bytes of `ids` as a text. Unknown ids and, with `skip_special`, special tokens are skipped. The result may
  /// begin or end inside a UTF-8 sequence. Many tokenizers put a space before each text, which is left out here.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special = true) const;
  /// The same, but of tokens that follow others: nothing is left out where they begin. So a text may be decoded token
  /// by token.
  std::string decode_next(std::span<const std::int32_t> ids, bool skip_special = true) const;

  /// The largest id plus 1.
  std::int64_t vocab_size() const;
  /// The end-of-text token; empty if there is none. A model may end its texts by others too (ModelConfig::eos_ids).
  std::optional<std::int32_t> eos_id() const;
  /// The begin-of-text token; empty if there is none.
  std::optional<std::int32_t> bos_id() const;
  std::optional<std::int32_t> id_of(std::string_view token) const;
  /// A description for `kvpress inspect`: "byte-level BPE, pre-tokenizer gpt2, NFC, 50277 ids".
  std::string description() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvpress
