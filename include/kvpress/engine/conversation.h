// A conversation that never outgrows its budget: messages and answers in one sequence, whose cache a press compresses
// whenever it would take more.
//
//   Conversation talk(model, tokenizer, format, settings);
//   Reply reply = talk.say("Who keeps the light?", sampling, [](std::string_view text) { ...; return true; });
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/engine/context_file.h"
#include "kvpress/engine/generate.h"
#include "kvpress/engine/sequence.h"
#include "kvpress/tokenizer/chat_format.h"
#include "kvpress/tokenizer/tokenizer.h"

namespace kvpress {

struct ConversationSettings {
  /// The press, the cache's format and the seed. Budget and positions are the conversation's to set: positions count in
  /// the cache if the model has RoPE, so that the text may outgrow the trained context.
  CompressionSettings compression;
  Budget budget;             ///< the most that the cache takes: bytes, or tokens per head
  double low = 0.75;         ///< the share of it that a compression leaves, in (0, 1)
  std::int64_t n_sink = 4;   ///< first tokens that always stay, if the system message is shorter
  bool scores_text = false;  ///< whether Reply::nll is computed
};

/// A message and its answer, as they were written.
struct ConversationTurn {
  std::string user;
  std::string answer;
  std::int64_t begin = 0;              ///< place of its first token
  std::int64_t n_read = 0;             ///< tokens of the message, with what the chat format puts around it
  std::optional<std::int32_t> unread;  ///< the answer's last token, where the model did not end it
};

struct Reply {
  std::string text;
  std::int64_t n_read = 0;  ///< tokens of the message, with what the chat format puts around it
  std::int64_t n_new = 0;   ///< tokens of the answer
  double read_sec = 0;
  double answer_sec = 0;
  bool ended = false;               ///< by the model
  bool stopped = false;             ///< by on_text
  std::int64_t n_compressions = 0;  ///< during the turn
  double n_evicted = 0;             ///< entries of a head (mean) during the turn
  double nll = 0;                   ///< mean over the message's own tokens, in nats, if it is wanted
};

class Conversation {
 public:
  /// Model and tokenizer are not owned. `format.before` has the system message; the press must be prepared. Throws
  /// UsageError for settings that make no sense and for a budget that is too small.
  Conversation(const Model& model, const Tokenizer& tokenizer, const ChatFormat& format,
               const ConversationSettings& settings);
  /// Goes on from a context, whose entries the press may evict, or from a conversation that was saved. Positions are
  /// the file's. Throws as ContextFile, and UsageError for a press that cannot take over the cache.
  Conversation(const Model& model, const Tokenizer& tokenizer, const ChatFormat& format,
               const ConversationSettings& settings, const ContextFile& from);

  /// Called with the text as it comes; false stops the answer.
  using OnText = std::function<bool(std::string_view text)>;
  /// Reads a message and answers it. Throws UsageError, and changes nothing, for a message that is empty or too long.
  /// Otherwise throws as Sequence::append().
  Reply say(const std::string& message, const GenerateSettings& sampling, const OnText& on_text = {});
  /// Takes the newest turn away; false if there is none. Where it has changed older entries, all text before it is
  /// read again.
  bool undo();
  /// Another press, from the next compression on, which knows nothing of what came before but the cache. Throws
  /// UsageError, and keeps the old one, for a press that cannot take over the cache.
  void set_press(const NamedPress& press);
  /// As a context file, to go on from. Throws as save_context().
  void save(const std::filesystem::path& path, ContextOrigin origin) const;

  const std::vector<ConversationTurn>& turns() const { return turns_; }
  const Sequence& sequence() const { return sequence_; }
  const ConversationSettings& settings() const { return settings_; }
  /// What the cache takes, in the unit of the budget: bytes or tokens per head; the most so far, during passes as well;
  /// and the limit.
  double used() const;
  double peak() const;
  double limit() const;
  std::int64_t n_compressions() const { return n_compressions_; }

 private:
  struct Score;
  Conversation(const Model& model, const Tokenizer& tokenizer, const ChatFormat& format,
               const ConversationSettings& settings, const ContextFile* from);

  CompressionSettings compression_with(const NamedPress& press) const;
  Sequence first_sequence(const ContextFile* from) const;
  Sequence taken_over(const NamedPress& press, SequenceState state) const;
  void start();
  void read_notes(const ContextFile& from);

  std::int64_t n_first() const { return std::max(n_system_, settings_.n_sink); }
  std::int64_t longest_head() const;
  /// Positions that RoPE or the model's table has left.
  std::int64_t positions_left() const;
  /// What n more tokens may add to n_layers of the cache, in the unit of the budget.
  double growth(std::int64_t n, std::int64_t n_layers) const;
  bool outgrows(std::int64_t n) const;
  void protect(std::int64_t begin, std::int64_t n_read);
  void check_length(std::int64_t n) const;
  void append(std::span<const std::int32_t> tokens, Score* score = nullptr);
  void append_block(std::span<const std::int32_t> tokens, bool compresses, Score* score);
  void answer(Reply& reply, ConversationTurn& turn, const GenerateSettings& sampling, const OnText& on_text);
  void read_again(std::span<const std::int32_t> tokens);

  const Model& model_;
  const Tokenizer& tokenizer_;
  ChatFormat format_;
  ConversationSettings settings_;
  Sequence sequence_;
  std::int64_t n_system_ = 0;  ///< first tokens that stay: the system message
  std::int64_t low_tokens_ = 0;
  std::vector<ConversationTurn> turns_;
  std::optional<Sequence::Mark> mark_;  // before the newest turn
  std::int64_t n_compressions_ = 0;
  double peak_ = 0;
};

}  // namespace kvpress
