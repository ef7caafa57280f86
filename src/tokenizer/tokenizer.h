// Byte-level BPE, read from a tokenizer.json or from a GGUF. Gives exactly the ids of the reference implementation
// (https://github.com/huggingface/tokenizers) for what it accepts, and refuses a pipeline it does not know.
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

class Tokenizer {
 public:
  /// Throws Error naming the file and the part of the pipeline that is not known.
  static Tokenizer from_json(const std::filesystem::path& tokenizer_json);
  /// The `gpt2` model with its `pre` name. Throws Error naming what is not known.
  static Tokenizer from_gguf(const GgufFile& file);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// The ids of `text`, special tokens written out in it included (as the reference does), none added around it.
  /// Any bytes are taken: what is not UTF-8 is read as U+FFFD, as Python's errors="replace" does. Thread-safe.
  std::vector<std::int32_t> encode(std::string_view text) const;

  /// The bytes of `ids`; unknown ids give nothing. With `skip_special`, special tokens give nothing. The result may
  /// end or begin inside a UTF-8 sequence when `ids` does.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special = true) const;

  /// One more than the largest id.
  std::int64_t vocab_size() const;
  std::optional<std::int32_t> eos_id() const;
  std::optional<std::int32_t> id_of(std::string_view token) const;
  /// "byte-level BPE, pre-tokenizer gpt2, NFC, 50277 ids": for `kvpress inspect`.
  std::string description() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvpress
