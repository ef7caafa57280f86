// A compressed context as a file: what a sequence holds after it has read a text, to be asked about later.
//
//   save_context(sequence, "book.kv", origin_of(opened));
//   ...
//   ContextFile file("book.kv");
//   file.check_origin(origin_of(opened));           // before weights are loaded
//   Sequence sequence = file.restore(model, file.read());
//
// The file is a safetensors file: keys, values and positions of every layer and KV head as the cache has them (ragged,
// quantized, thin), what presses carry, the tokens, and metadata. docs/contexts.md lists the tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "kvpress/engine/compression_settings.h"
#include "kvpress/engine/open_model.h"
#include "kvpress/engine/sequence.h"

namespace kvpress {

/// What a context was made with. Fingerprints are compared, names are for people.
struct ContextOrigin {
  std::string model;
  std::string weights;                            ///< weights_fingerprint()
  std::string tokenizer;                          ///< tokenizer_fingerprint()
  std::int64_t n_planned = 0;                     ///< tokens that load_model() was called with; 0: those of the text
  std::map<std::string, std::string> notes = {};  ///< what the program wants to find again: not compared
};
ContextOrigin origin_of(const OpenedModel& opened);

/// Throws the UsageError that save_context() would throw for a press that does not list its state, or needs the text
/// where it is not stored. Call it before the prefill.
void check_can_save(const CompressionSettings& settings, const ModelConfig& config, bool with_text = true);

/// Writes the sequence, whole or not at all. `with_text`: the tokens; otherwise their number and hash, and the restored
/// sequence does not know them (they are -1 there). Throws Error with the path, UsageError as check_can_save().
void save_context(const Sequence& sequence, const std::filesystem::path& path, const ContextOrigin& origin,
                  bool with_text = true);

/// What a file says of itself.
struct ContextInfo {
  ContextOrigin origin;
  std::string numbers;  ///< Model::numbers()
  std::string version;  ///< of the program that wrote it
  CompressionSettings settings;
  CacheShape shape;
  std::int64_t n_tokens = 0;  ///< of the text
  std::string text_hash;      ///< SHA-256 of the tokens, as 32-bit integers
  bool has_text = true;
  bool decodes = false;  ///< the prefill is over
  double prefill_sec = 0;
  double compress_sec = 0;
  double mean_entries = 0;  ///< per KV head
  std::int64_t fewest_entries = 0, most_entries = 0;
  std::size_t cache_bytes = 0;  ///< of keys and values, with their positions, in the file
  std::size_t file_bytes = 0;
};

class ContextFile {
 public:
  /// Whether a file is a context, whole or not.
  static bool is_context(const std::filesystem::path& path);

  /// Reads the metadata and checks all sizes against the file. Throws Error with the path for what is damaged, cut off
  /// or of another version.
  explicit ContextFile(const std::filesystem::path& path);

  const ContextInfo& info() const;
  /// The path, for messages.
  std::string name() const;
  /// Reads all of the file and compares its checksum. Throws Error with the path.
  void verify() const;
  /// Throws UsageError, with what differs, for another model or tokenizer.
  void check_origin(const ContextOrigin& opened) const;
  /// Whether a press acts on what follows, so that info().settings.press must be prepared before restore().
  bool has_press() const;

  /// Throws UsageError, with what differs, for a model with other numbers or positions.
  void check_model(const Model& model) const;

  /// Reads the cache into memory of its own and compares the checksum: afterwards the file is not needed any more.
  SequenceState read() const;
  /// The sequence as it was saved. Throws as check_model(), and Error for a state that does not fit.
  Sequence restore(const Model& model, SequenceState state) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace kvpress
