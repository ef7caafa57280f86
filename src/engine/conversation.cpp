#include "kvpress/engine/conversation.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include "base/json_text.h"
#include "base/utf8_stream.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "kvpress/base/memory.h"
#include "kvpress/base/timer.h"
#include "kvpress/press/press_state.h"
#include "ops/output_loss.h"

namespace kvpress {
namespace {

constexpr const char* kTurnsNote = "conversation";
constexpr const char* kSystemNote = "n_system";
/// A budget must leave room for so many tokens beside what always stays.
constexpr std::int64_t kLeastRoom = 32;

/// Ends an answer from within on_token.
struct Stop {};

void check(const ConversationSettings& settings, const NamedPress& press, const ModelConfig& config) {
  if (!settings.budget.is_fixed()) {
    fail_setting("budget", "a conversation needs a number of bytes or tokens, such as 64MiB or 2048");
  }
  if (!(settings.low > 0 && settings.low < 1)) {
    fail_setting("budget_low", "{} is not in (0, 1): the share of the budget that a compression leaves", settings.low);
  }
  if (press.press == nullptr || press.decoding) {
    fail_setting("press", "{} does not compress a conversation; use a press such as snapkv", press.text);
  }
  if (press.press->kind() == PressKind::context) {
    fail_setting("press",
                 "{} holds more than the budget while it works on all layers at once; use a press such as snapkv",
                 press.text);
  }
  check_lists_state(*press.press, config);
}

Budget share_of(const Budget& budget, double share) {
  if (budget.bytes) return Budget::of_bytes(static_cast<std::size_t>(static_cast<double>(*budget.bytes) * share));
  return Budget::of_tokens(
      std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(*budget.target_size) * share)));
}

}  // namespace

/// The loss of the tokens at places [begin, end).
struct Conversation::Score {
  std::int64_t begin, end;
  double sum = 0;
  std::int64_t n = 0;
};

Conversation::Conversation(const Model& model, const Tokenizer& tokenizer, const ChatFormat& format,
                           const ConversationSettings& settings)
    : Conversation(model, tokenizer, format, settings, nullptr) {}

Conversation::Conversation(const Model& model, const Tokenizer& tokenizer, const ChatFormat& format,
                           const ConversationSettings& settings, const ContextFile& from)
    : Conversation(model, tokenizer, format, settings, &from) {}

Conversation::Conversation(const Model& model, const Tokenizer& tokenizer, const ChatFormat& format,
                           const ConversationSettings& settings, const ContextFile* from)
    : model_(model), tokenizer_(tokenizer), format_(format), settings_(settings), sequence_(first_sequence(from)) {
  settings_.compression = sequence_.settings();
  if (from == nullptr) {
    n_system_ = std::ssize(tokenizer.encode(format.before));
  } else {
    read_notes(*from);
  }
  start();
}

CompressionSettings Conversation::compression_with(const NamedPress& press) const {
  CompressionSettings compression = settings_.compression;
  compression.press = press;
  compression.compression_interval = 0;
  compression.decoding_budget = {};
  compression.budget = share_of(settings_.budget, settings_.low);
  return compression;
}

Sequence Conversation::first_sequence(const ContextFile* from) const {
  const NamedPress& press = settings_.compression.press;
  check(settings_, press, model_.config());
  CompressionSettings compression = compression_with(press);
  if (from == nullptr) {
    compression.positions = model_.config().has_rope() ? Positions::cache : Positions::text;
    return {model_, compression};
  }
  from->check_model(model_);
  SequenceState state = from->read();
  return taken_over(press, std::move(state));
}

Sequence Conversation::taken_over(const NamedPress& press, SequenceState state) const {
  const ModelConfig& config = model_.config();
  CompressionSettings compression = compression_with(press);
  compression.positions = state.shape.renumber ? Positions::cache : Positions::text;
  compression.cache_format = state.shape.format;
  const PressNeeds needs = press.press->needs();
  const std::int64_t n_carried = needs.n_carried + (needs.accumulated_attention ? 1 : 0);
  if (n_carried != state.shape.n_carried || (needs.rebuilds_positions && !state.shape.renumber)) {
    fail_setting("press",
                 "{} cannot take over this cache, which lacks what it keeps beside each entry; use another, or "
                 "begin with it",
                 press.text);
  }
  CompressorState& compressor = state.compressor;
  const auto n_tokens = static_cast<std::int64_t>(compressor.tokens.size());
  if (n_tokens > 0 && compressor.tokens.front() < 0) {
    fail_usage("a context does not have its text, which a conversation goes on from; store the text");
  }
  compressor.decodes = false;
  compressor.n_prompt = compressor.n_decoded = 0;
  compressor.recent_queries.clear();
  compressor.prefill_press = press_state(*press.press->clone(), config, n_tokens);
  compressor.decoding_press.clear();
  return {model_, compression, std::move(state)};
}

void Conversation::start() {
  sequence_.set_compressing(false);
  low_tokens_ = *sequence_.budget_tokens();
  const ModelConfig& config = model_.config();
  if (low_tokens_ - n_first() < kLeastRoom) {
    fail_setting("budget", "{} leaves {} tokens a head, of which {} always stay; at least {} more are needed",
                 to_string(settings_.budget), low_tokens_, n_first(), kLeastRoom);
  }
  if (settings_.compression.positions == Positions::cache && low_tokens_ > config.max_positions * 7 / 8) {
    fail_setting("budget", "{} leaves {} tokens a head, more than the trained context of {} has room for; use less",
                 to_string(settings_.budget), low_tokens_, config.max_positions);
  }
  if (used() > limit()) {
    fail_setting("budget", "{} are less than the context takes; use more, or compress it further",
                 to_string(settings_.budget));
  }
  peak_ = peak();
}

void Conversation::read_notes(const ContextFile& from) {
  const auto note = [&](const char* key) {
    const auto& notes = from.info().origin.notes;
    const auto it = notes.find(key);
    return it == notes.end() ? std::string() : it->second;
  };
  if (note(kTurnsNote).empty()) return;
  const auto damaged = [&] { fail("{}: the turns of its conversation are damaged", from.name()); };
  const auto turns = try_parse_json(note(kTurnsNote));
  const auto n_system = try_parse_json(note(kSystemNote));
  if (!turns || !turns->is_array() || !n_system || !n_system->is_number_unsigned()) damaged();
  n_system_ = n_system->get<std::int64_t>();
  std::int64_t before = 0;
  try {
    for (const nlohmann::json& it : *turns) {
      ConversationTurn turn{it.at("user"), it.at("answer"), it.at("begin"), it.at("n_read"), {}};
      if (!it.at("unread").is_null()) turn.unread = it.at("unread").get<std::int32_t>();
      if (turn.begin < before || turn.n_read < 0 || turn.n_read > sequence_.n_tokens() - turn.begin ||
          (turn.unread && (*turn.unread < 0 || *turn.unread >= model_.config().vocab_size))) {
        damaged();
      }
      before = turn.begin;
      turns_.push_back(std::move(turn));
    }
  } catch (const nlohmann::json::exception&) {
    damaged();
  }
}

std::int64_t Conversation::longest_head() const {
  const KVCache& cache = sequence_.cache();
  std::int64_t longest = 0;
  for (std::int64_t l = 0; l < cache.shape().n_layers; ++l) {
    for (std::int64_t h = 0; h < cache.shape().n_kv_heads; ++h) longest = std::max(longest, cache.head(l, h).size());
  }
  return longest;
}

std::int64_t Conversation::positions_left() const {
  const bool in_cache = settings_.compression.positions == Positions::cache;
  return model_.config().max_positions - (in_cache ? longest_head() : sequence_.n_tokens());
}

double Conversation::used() const {
  return settings_.budget.bytes ? static_cast<double>(sequence_.cache_bytes()) : sequence_.cache_tokens();
}

double Conversation::peak() const {
  return std::max(peak_, settings_.budget.bytes ? static_cast<double>(sequence_.peak_bytes()) : used());
}

double Conversation::limit() const {
  return static_cast<double>(settings_.budget.bytes ? *settings_.budget.bytes
                                                    : static_cast<std::size_t>(*settings_.budget.target_size));
}

double Conversation::growth(std::int64_t n, std::int64_t n_layers) const {
  const CacheShape& shape = sequence_.cache().shape();
  if (!settings_.budget.bytes) return static_cast<double>(n * n_layers) / static_cast<double>(shape.n_layers);
  const auto size = static_cast<std::size_t>(n);
  const std::size_t rows = size * static_cast<std::size_t>(shape.head_dim) * size_of(shape.format.type);
  const std::size_t pages = 2 * ((rows + page_size() - 1) / page_size() * page_size());
  // Positions and floats beside entries grow by steps of 128.
  const std::size_t beside = (size + 127) * 4 * static_cast<std::size_t>(1 + shape.n_carried);
  return static_cast<double>(n_layers * shape.n_kv_heads) * static_cast<double>(pages + beside);
}

bool Conversation::outgrows(std::int64_t n) const {
  // What is left is enough for the pass that compresses, of a token at least.
  const double reserve = growth(1, 1);
  if (used() + growth(n, model_.config().n_layers) > limit() - reserve) return true;
  return settings_.compression.positions == Positions::cache && n >= positions_left();
}

void Conversation::protect(std::int64_t begin, std::int64_t n_read) {
  constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();
  const std::int64_t room = low_tokens_ - n_first();
  // A long answer may push its own beginning out, but neither the message nor the system message.
  const bool all = sequence_.n_tokens() + 1 - begin <= room / 2;
  sequence_.set_protected({{0, n_first()}, {std::max(begin, n_first()), all ? kEnd : begin + n_read}});
}

void Conversation::check_length(std::int64_t n) const {
  const std::int64_t room = low_tokens_ - n_first();
  const std::int64_t most = room - room / 8;
  if (n > most) {
    fail_usage("the message has {} tokens, and at most {} fit into the budget; shorten it, or use a larger {}", n, most,
               setting("budget"));
  }
  if (settings_.compression.positions == Positions::text && n + 1 >= positions_left()) {
    fail_usage("the conversation has reached the trained context of {} tokens{}", model_.config().max_positions,
               model_.config().has_rope() ? "; a context with positions counted in the cache goes on" : "");
  }
}

void Conversation::append(std::span<const std::int32_t> tokens, Score* score) {
  while (!tokens.empty()) {
    std::int64_t n = std::ssize(tokens);
    const bool compresses = outgrows(n);
    // A pass that compresses holds the new tokens of one layer beside what was there.
    while (compresses && n > 1 && (used() + growth(n, 1) > limit() || n >= positions_left())) n /= 2;
    append_block(tokens.first(static_cast<std::size_t>(n)), compresses, score);
    tokens = tokens.subspan(static_cast<std::size_t>(n));
  }
}

void Conversation::append_block(std::span<const std::int32_t> tokens, bool compresses, Score* score) {
  sequence_.set_compressing(compresses);
  if (score == nullptr) {
    sequence_.append(tokens);
  } else {
    // Row i is the state before token i.
    const std::int64_t cols = model_.config().hidden_size;
    const std::int64_t n = std::ssize(tokens);
    AlignedVector<float> states(static_cast<std::size_t>((n + 1) * cols));
    const bool begins = sequence_.n_tokens() == 0;
    if (!begins) std::copy_n(sequence_.last_hidden().row(0), cols, states.data());
    const std::int64_t first = sequence_.n_tokens();
    sequence_.append(tokens, {states.data() + cols, n, cols});
    const std::int64_t from = std::max<std::int64_t>(score->begin - first, begins ? 1 : 0);
    const std::int64_t to = std::min(score->end - first, n);
    if (from < to) {
      std::vector<float> nll(static_cast<std::size_t>(to - from));
      output_cross_entropy({states.data() + from * cols, to - from, cols}, model_.output(),
                           tokens.subspan(static_cast<std::size_t>(from), nll.size()), nll);
      for (const float it : nll) score->sum += static_cast<double>(it);
      score->n += to - from;
    }
  }
  sequence_.set_compressing(false);
  if (compresses) ++n_compressions_;
  peak_ = peak();
}

Reply Conversation::say(const std::string& message, const GenerateSettings& sampling, const OnText& on_text) {
  if (message.find_first_not_of(" \t\r\n") == std::string::npos) fail_usage("the message is empty");
  const bool is_first = turns_.empty();
  if (!is_first && format_.between.empty()) fail_usage("the chat template of the model has only one message");
  std::vector<std::int32_t> tokens;
  if (!is_first && turns_.back().unread) tokens.push_back(*turns_.back().unread);
  const std::string before = is_first ? format_.before : format_.between;
  const std::int64_t n_before = std::ssize(tokens) + std::ssize(tokenizer_.encode(before));
  const std::vector<std::int32_t> text =
      tokenizer_.encode((is_first ? format_.begin(message) : before + message) + format_.after);
  tokens.insert(tokens.end(), text.begin(), text.end());
  check_length(std::ssize(tokens));

  ConversationTurn turn{message, "", sequence_.n_tokens(), std::ssize(tokens), {}};
  Reply reply;
  reply.n_read = turn.n_read;
  const std::int64_t compressions_before = n_compressions_;
  const double held_before = sequence_.cache_tokens();
  mark_.reset();
  mark_ = sequence_.mark();
  protect(turn.begin, turn.n_read);
  Score score{turn.begin + n_before, turn.begin + turn.n_read - std::ssize(tokenizer_.encode(format_.after))};
  const Timer reading;
  append(tokens, settings_.scores_text ? &score : nullptr);
  reply.read_sec = reading.seconds();
  if (score.n > 0) reply.nll = score.sum / static_cast<double>(score.n);
  turns_.push_back(std::move(turn));
  answer(reply, turns_.back(), sampling, on_text);
  reply.n_compressions = n_compressions_ - compressions_before;
  const auto n_added = static_cast<double>(sequence_.n_tokens() - turns_.back().begin);
  reply.n_evicted = std::max(0.0, held_before + n_added - sequence_.cache_tokens());
  return reply;
}

void Conversation::answer(Reply& reply, ConversationTurn& turn, const GenerateSettings& sampling,
                          const OnText& on_text) {
  GenerateSettings settings = sampling;
  settings.begins_decoding = false;
  Utf8Stream stream;
  const auto show = [&](const std::string& text) {
    turn.answer += text;
    if (!text.empty() && on_text && !on_text(text)) throw Stop();
  };
  const auto note = [&] {
    if (sequence_.compressed()) ++n_compressions_;
    peak_ = peak();
  };
  const Timer timer;
  try {
    const Generated generated = generate(sequence_, settings, [&](std::int32_t id) {
      if (reply.n_new > 0) note();  // of the pass of the token before
      sequence_.set_compressing(false);
      turn.unread = id;
      const bool is_begin = reply.n_new++ == 0;
      show(stream.take(is_begin ? tokenizer_.decode({&id, 1}) : tokenizer_.decode_next({&id, 1})));
      if (settings_.compression.positions == Positions::text && positions_left() <= 1) throw Stop();
      protect(turn.begin, turn.n_read);
      if (outgrows(1)) sequence_.set_compressing(true);
    });
    if (generated.end) {
      if (reply.n_new > 0) note();
      turn.unread.reset();  // all its tokens have been read
    }
    reply.ended = generated.end.has_value();
    show(stream.finish());
  } catch (const Stop&) {
    reply.stopped = true;
  }
  sequence_.set_compressing(false);
  reply.answer_sec = timer.seconds();
  reply.text = turn.answer;
}

bool Conversation::undo() {
  if (turns_.empty()) return false;
  const std::int64_t begin = turns_.back().begin;
  turns_.pop_back();
  if (mark_) {
    try {
      sequence_.rewind(*mark_);
      mark_.reset();
      return true;
    } catch (const std::logic_error&) {  // older entries were evicted or rounded since
    }
  }
  mark_.reset();
  const auto tokens = sequence_.tokens().first(static_cast<std::size_t>(begin));
  const std::vector<std::int32_t> before(tokens.begin(), tokens.end());
  read_again(before);
  return true;
}

void Conversation::read_again(std::span<const std::int32_t> tokens) {
  if (!tokens.empty()) log_info(fmt::format("older entries are gone: reading {} tokens again", tokens.size()));
  const CompressionSettings compression = compression_with(settings_.compression.press);
  sequence_ = Sequence(model_, compression);
  sequence_.set_compressing(false);
  std::int64_t at = 0;
  const auto read_to = [&](std::int64_t end) {
    append(tokens.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(end - at)));
    at = end;
  };
  const std::int64_t n = std::ssize(tokens);
  sequence_.set_protected({{0, n_first()}});
  if (!turns_.empty()) read_to(turns_.front().begin);  // of a context
  for (std::size_t i = 0; i < turns_.size(); ++i) {
    const ConversationTurn& turn = turns_[i];
    protect(turn.begin, turn.n_read);
    read_to(std::min(turn.begin + turn.n_read, n));
    protect(turn.begin, turn.n_read);
    read_to(i + 1 < turns_.size() ? turns_[i + 1].begin : n);
  }
  read_to(n);
}

void Conversation::set_press(const NamedPress& press) {
  check(settings_, press, model_.config());
  const KVCache& cache = sequence_.cache();
  SequenceState state;
  state.compressor = sequence_.compressor().state(model_.config());
  state.shape = cache.shape();
  for (std::int64_t l = 0; l < state.shape.n_layers; ++l) {
    for (std::int64_t h = 0; h < state.shape.n_kv_heads; ++h) state.heads.push_back(cache.head(l, h));
  }
  const auto hidden = sequence_.last_hidden();
  if (hidden.rows > 0) state.last_hidden.assign(hidden.row(0), hidden.row(0) + hidden.cols);
  sequence_ = taken_over(press, std::move(state));
  settings_.compression = sequence_.settings();
  mark_.reset();
  start();
}

void Conversation::save(const std::filesystem::path& path, ContextOrigin origin) const {
  nlohmann::ordered_json turns = nlohmann::ordered_json::array();
  for (const ConversationTurn& it : turns_) {
    nlohmann::ordered_json turn = {
        {"user", it.user}, {"answer", it.answer}, {"begin", it.begin}, {"n_read", it.n_read}};
    turn["unread"] = it.unread ? nlohmann::ordered_json(*it.unread) : nlohmann::ordered_json();
    turns.push_back(std::move(turn));
  }
  origin.notes[kTurnsNote] = turns.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  origin.notes[kSystemNote] = std::to_string(n_system_);
  save_context(sequence_, path, origin);
}

}  // namespace kvpress
