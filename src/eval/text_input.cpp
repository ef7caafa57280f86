#include "kvpress/eval/text_input.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/timer.h"

namespace kvpress {
namespace {

/// About the bytes a token stands for at the least: tokenizing a whole book to use its first tokens would be waste.
constexpr std::size_t kBytesPerTokenAtMost = 16;
/// Bytes a token stands for in most texts: so far rows are read at first.
constexpr std::size_t kBytesPerTokenMostly = 5;
/// A prefix gives the whole text's tokens but for those near its end: so many more than wanted are safe.
constexpr std::size_t kTokensToSpare = 256;

/// The data set's texts one after another, wherever they are.
class TextsInOrder {
 public:
  explicit TextsInOrder(const TextDataset& dataset) : dataset_(dataset) {}
  std::optional<std::string> next() {
    check_interrupt();
    if (at_ < dataset_.texts.size()) return dataset_.texts[at_++];
    if (!dataset_.more) return std::nullopt;
    ++at_;
    return dataset_.more();
  }
  /// Of the text just given.
  std::string name() const {
    return at_ <= dataset_.names.size() ? dataset_.names[at_ - 1] : fmt::format("row {}", at_ - 1);
  }

 private:
  const TextDataset& dataset_;
  std::size_t at_ = 0;
};

TokenizedText finished(const Tokenizer& tokenizer, std::vector<std::int32_t> ids, std::size_t wanted) {
  TokenizedText result;
  result.ids = std::move(ids);
  if (wanted > 0 && result.ids.size() > wanted) result.ids.resize(wanted);
  for (const std::int32_t id : result.ids) {
    result.n_bytes.push_back(static_cast<std::int32_t>(tokenizer.decode({&id, 1}, false).size()));
  }
  return result;
}

TokenizedText tokenize(const Tokenizer& tokenizer, std::string_view text, std::size_t wanted) {
  std::string_view part = text;
  if (wanted > 0) part = text.substr(0, wanted * kBytesPerTokenAtMost);
  std::vector<std::int32_t> ids = tokenizer.encode(part);
  if (part.size() < text.size() && ids.size() < wanted + kTokensToSpare) ids = tokenizer.encode(text);
  return finished(tokenizer, std::move(ids), wanted);
}

/// All rows as one text, read only as far as it takes.
TokenizedText tokenize_joined(const Tokenizer& tokenizer, const TextDataset& dataset, std::size_t wanted) {
  TextsInOrder rows(dataset);
  std::string text;
  bool first = true;
  for (std::size_t n_bytes = (wanted + kTokensToSpare) * kBytesPerTokenMostly;; n_bytes += n_bytes / 4) {
    bool ended = false;
    while (!ended && (wanted == 0 || text.size() < n_bytes)) {
      const std::optional<std::string> row = rows.next();
      ended = !row;
      if (!row) break;
      if (!first) text += dataset.separator;
      first = false;
      text += *row;
    }
    // One row may be a whole book.
    if (ended) return tokenize(tokenizer, text, wanted);
    const std::string_view part = std::string_view(text).substr(0, (wanted + kTokensToSpare) * kBytesPerTokenAtMost);
    std::vector<std::int32_t> ids = tokenizer.encode(part);
    if (ids.size() < wanted + kTokensToSpare && part.size() < text.size()) ids = tokenizer.encode(text);
    if (ids.size() >= wanted + kTokensToSpare) return finished(tokenizer, std::move(ids), wanted);
  }
}

}  // namespace

std::vector<TokenizedText> tokenize_texts(const Tokenizer& tokenizer, const TextDataset& dataset,
                                          std::int64_t max_tokens) {
  std::vector<TokenizedText> result;
  const auto wanted = static_cast<std::size_t>(max_tokens);
  const auto take = [&](TokenizedText tokens, std::string name) {
    tokens.name = std::move(name);
    if (!tokens.ids.empty()) result.push_back(std::move(tokens));
  };
  if (!dataset.separator.empty()) {
    take(tokenize_joined(tokenizer, dataset, wanted), dataset.name);
  } else {
    TextsInOrder texts(dataset);
    while (const std::optional<std::string> text = texts.next()) take(tokenize(tokenizer, *text, wanted), texts.name());
  }
  if (result.empty()) fail_usage("{}: contains no text to score", dataset.name);
  return result;
}

std::int64_t PreparedTexts::longest() const {
  std::size_t longest = 0;
  for (const TokenizedText& text : texts) longest = std::max(longest, text.ids.size());
  return static_cast<std::int64_t>(longest);
}

PreparedTexts prepare_texts(const Tokenizer& tokenizer, const TextDataset& dataset,
                            std::optional<std::int64_t> max_tokens, const ProtocolSettings& settings,
                            const ModelConfig& config, std::int64_t default_tokens) {
  std::int64_t wanted = max_tokens.value_or(default_tokens);
  if (wanted < 0) fail_setting("max_tokens", "{} is negative; give a number of tokens, or 0 for no limit", wanted);
  // These protocols take a text whole: cut it to what the model was trained for, unless told otherwise.
  if (!settings.splits_text() && !max_tokens) {
    if (settings.context_tokens >= config.max_positions) {
      fail_setting("context_tokens",
                   "{} leaves nothing to score within the trained context of {} tokens; use fewer, or set {} to use "
                   "more of the text",
                   settings.context_tokens, config.max_positions, setting("max_tokens"));
    }
    wanted = wanted > 0 ? std::min(wanted, config.max_positions) : config.max_positions;
  }
  const Timer timer;
  PreparedTexts prepared;
  prepared.name = dataset.name;
  prepared.texts = tokenize_texts(tokenizer, dataset, wanted);
  prepared.tokenize_sec = timer.seconds();
  return prepared;
}

}  // namespace kvpress
