#include "kvpress/eval/text_input.h"

#include <utility>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

/// About the bytes a token stands for at the least: tokenizing a whole book to use its first tokens would be waste.
constexpr std::size_t kBytesPerTokenAtMost = 16;

std::string joined(const TextDataset& dataset) {
  std::string text;
  for (std::size_t i = 0; i < dataset.texts.size(); ++i) {
    if (i > 0) text += dataset.separator;
    text += dataset.texts[i];
  }
  return text;
}

TokenizedText tokenize(const Tokenizer& tokenizer, std::string_view text, std::int64_t max_tokens) {
  TokenizedText result;
  const auto wanted = static_cast<std::size_t>(max_tokens);
  std::string_view part = text;
  if (max_tokens > 0) part = text.substr(0, wanted * kBytesPerTokenAtMost);
  result.ids = tokenizer.encode(part);
  // A prefix gives the whole text's tokens but for those near its end; far more than wanted are safe, else take it all.
  if (part.size() < text.size() && result.ids.size() < 2 * wanted) result.ids = tokenizer.encode(text);
  if (max_tokens > 0 && result.ids.size() > wanted) result.ids.resize(wanted);
  for (const std::int32_t id : result.ids) {
    result.n_bytes.push_back(static_cast<std::int32_t>(tokenizer.decode({&id, 1}, false).size()));
  }
  return result;
}

}  // namespace

std::vector<TokenizedText> tokenize_texts(const Tokenizer& tokenizer, const TextDataset& dataset,
                                          std::int64_t max_tokens) {
  std::vector<TokenizedText> result;
  const auto take = [&](std::string_view text) {
    TokenizedText tokens = tokenize(tokenizer, text, max_tokens);
    if (!tokens.ids.empty()) result.push_back(std::move(tokens));
  };
  if (!dataset.separator.empty()) {
    take(joined(dataset));
  } else {
    for (const std::string& text : dataset.texts) take(text);
  }
  if (result.empty()) fail_usage("{}: holds no text to score", dataset.name);
  return result;
}

}  // namespace kvpress
