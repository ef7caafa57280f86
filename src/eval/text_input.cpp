#include "kvpress/eval/text_input.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/log.h"
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

/// The tokens of a text, and what is put around them.
class Framer {
 public:
  Framer(const Tokenizer& tokenizer, BosChoice bos) : tokenizer_(tokenizer), frame_(tokenizer.frame(bos)) {}

  /// `ids` are of the whole text, or of its beginning; of that the tokens near its end are not to be used.
  TokenizedText finished(std::vector<std::int32_t> ids, std::size_t wanted, bool is_whole) const {
    TokenizedText result;
    if (ids.empty()) return result;
    result.ids = frame_.before;
    result.n_bytes.assign(result.ids.size(), 0);
    for (const std::int32_t id : ids) {
      if (wanted > 0 && result.ids.size() >= wanted) break;
      result.ids.push_back(id);
      const bool is_begin = &id == ids.data();
      const std::string decoded =
          is_begin ? tokenizer_.decode({&id, 1}, false) : tokenizer_.decode_next({&id, 1}, false);
      result.n_bytes.push_back(static_cast<std::int32_t>(decoded.size()));
      result.decoded += decoded;
    }
    if (is_whole) result.ids.insert(result.ids.end(), frame_.after.begin(), frame_.after.end());
    if (wanted > 0 && result.ids.size() > wanted) result.ids.resize(wanted);
    result.n_bytes.resize(result.ids.size(), 0);
    return result;
  }

  TokenizedText tokenize(std::string_view text, std::size_t wanted) const {
    std::string_view part = text;
    if (wanted > 0) part = text.substr(0, wanted * kBytesPerTokenAtMost);
    std::vector<std::int32_t> ids = tokenizer_.encode(part);
    bool is_whole = part.size() == text.size();
    if (!is_whole && ids.size() < wanted + kTokensToSpare) {
      ids = tokenizer_.encode(text);
      is_whole = true;
    }
    return finished(std::move(ids), wanted, is_whole);
  }

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const TextFrame& frame() const { return frame_; }

 private:
  const Tokenizer& tokenizer_;
  TextFrame frame_;
};

std::vector<std::string> strings_of(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  std::vector<std::string> strings;
  for (const std::int32_t id : ids) strings.push_back(tokenizer.decode_next({&id, 1}, false));
  return strings;
}

/// All rows as one text, read only as far as it takes.
TokenizedText tokenize_joined(const Framer& framer, const TextDataset& dataset, std::size_t wanted) {
  const Tokenizer& tokenizer = framer.tokenizer();
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
    if (ended) return framer.tokenize(text, wanted);
    const std::string_view part = std::string_view(text).substr(0, (wanted + kTokensToSpare) * kBytesPerTokenAtMost);
    std::vector<std::int32_t> ids = tokenizer.encode(part);
    if (ids.size() < wanted + kTokensToSpare && part.size() < text.size()) ids = tokenizer.encode(text);
    if (ids.size() >= wanted + kTokensToSpare) return framer.finished(std::move(ids), wanted, false);
  }
}

}  // namespace

std::vector<TokenizedText> tokenize_texts(const Tokenizer& tokenizer, const TextDataset& dataset,
                                          std::int64_t max_tokens, BosChoice bos) {
  const Framer framer(tokenizer, bos);
  if (const TextFrame& frame = framer.frame(); !frame.before.empty() || !frame.after.empty()) {
    log_info(fmt::format("each text is read as {}TEXT{}", fmt::join(strings_of(tokenizer, frame.before), ""),
                         fmt::join(strings_of(tokenizer, frame.after), "")));
  }
  std::vector<TokenizedText> result;
  const auto wanted = static_cast<std::size_t>(max_tokens);
  const auto take = [&](TokenizedText tokens, std::string name) {
    tokens.name = std::move(name);
    if (!tokens.ids.empty()) result.push_back(std::move(tokens));
  };
  if (!dataset.separator.empty()) {
    take(tokenize_joined(framer, dataset, wanted), dataset.name);
  } else {
    TextsInOrder texts(dataset);
    while (const std::optional<std::string> text = texts.next()) take(framer.tokenize(*text, wanted), texts.name());
  }
  if (result.empty()) fail_usage("{}: contains no text to score", dataset.name);
  return result;
}

std::int64_t bytes_of_tokens(std::int64_t max_tokens) {
  // Far more than any vocabulary's longest token, and some for the words at the end, which are cut.
  constexpr std::int64_t kBytesPerToken = 1024;
  constexpr std::int64_t kMost = std::int64_t{1} << 50;
  return max_tokens <= 0 || max_tokens > kMost / kBytesPerToken
             ? 0
             : (max_tokens + std::int64_t{kTokensToSpare}) * kBytesPerToken;
}

std::int64_t PreparedTexts::longest() const {
  std::size_t longest = 0;
  for (const TokenizedText& text : texts) longest = std::max(longest, text.ids.size());
  return static_cast<std::int64_t>(longest);
}

namespace {

/// Leaves out texts of which nothing can be scored, where there are others.
void skip_short(std::vector<TokenizedText>& texts, const ProtocolSettings& settings) {
  const std::int64_t needed = settings.splits_text() ? 2 : std::max<std::int64_t>(2, settings.context_tokens + 1);
  const auto is_short = [&](const TokenizedText& it) { return std::ssize(it.ids) < needed; };
  const auto n = std::count_if(texts.begin(), texts.end(), is_short);
  if (n == 0 || n == std::ssize(texts)) return;
  const std::string first = std::find_if(texts.begin(), texts.end(), is_short)->name;
  log_warning_once(fmt::format("{} of {} texts have fewer than {} tokens and are left out; the first is {}", n,
                               texts.size(), needed, first));
  std::erase_if(texts, is_short);
}

}  // namespace

PreparedTexts prepare_texts(const Tokenizer& tokenizer, const TextDataset& dataset,
                            std::optional<std::int64_t> max_tokens, const ProtocolSettings& settings,
                            const ModelConfig& config, std::int64_t default_tokens, BosChoice bos) {
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
  prepared.texts = tokenize_texts(tokenizer, dataset, wanted, bos);
  skip_short(prepared.texts, settings);
  const TextFrame frame = tokenizer.frame(bos);
  prepared.before = strings_of(tokenizer, frame.before);
  prepared.after = strings_of(tokenizer, frame.after);
  prepared.tokenize_sec = timer.seconds();
  return prepared;
}

}  // namespace kvpress
