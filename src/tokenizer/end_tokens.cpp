#include "tokenizer/end_tokens.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <set>

#include "kvpress/base/error.h"
#include "kvpress/base/log.h"

namespace kvpress {
namespace {

constexpr std::string_view kEnds[] = {"<|eot_id|>",
                                      "<|im_end|>",
                                      "<|end|>",
                                      "<|return|>",
                                      "<|call|>",
                                      "<|flush|>",
                                      "<|calls|>",
                                      "<end_of_turn>",
                                      "<|endoftext|>",
                                      "</s>",
                                      "<|eom_id|>",
                                      "<EOT>",
                                      "_<EOT>",
                                      "[EOT]",
                                      "[EOS]",
                                      "<|end_of_text|>",
                                      "<end_of_utterance>",
                                      "<eos>",
                                      "<turn|>",
                                      "<|tool_response>",
                                      "<｜end▁of▁sentence｜>",
                                      "[e~["};

/// Tokens for filling in the middle: padding, the next repository and the next file end what is written as well. The
/// first of each list that is a token counts, unless a key names another.
struct Fill {
  std::string_view key;
  bool ends;
  std::array<std::string_view, 8> texts;
};
constexpr Fill kFills[] = {
    {"fim_pre_token_id",
     false,
     {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
      "<|prefix|>"}},
    {"fim_suf_token_id",
     false,
     {"<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
      "<|suffix|>"}},
    {"fim_mid_token_id",
     false,
     {"<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
      "<|middle|>"}},
    {"fim_pad_token_id", true, {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}},
    {"fim_rep_token_id", true, {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
    {"fim_sep_token_id", true, {"<|file_sep|>"}}};

constexpr std::string_view kUsers[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

template <typename Range>
bool is_in(const Range& range, std::string_view text) {
  return !text.empty() && std::find(std::begin(range), std::end(range), text) != std::end(range);
}

}  // namespace

bool is_control_text(std::string_view text) {
  return is_in(kEnds, text) ||
         std::any_of(std::begin(kFills), std::end(kFills), [&](const Fill& it) { return is_in(it.texts, text); });
}

bool is_user_text(std::string_view text) { return is_in(kUsers, text); }

std::optional<std::int32_t> gguf_token_id(const GgufFile& file, std::string_view key, std::size_t n_tokens) {
  const auto id = file.integer(key);
  if (!id) return std::nullopt;
  if (*id >= 0 && static_cast<std::size_t>(*id) < n_tokens) return static_cast<std::int32_t>(*id);
  // Converters write 2^32 - 1 for none.
  if (*id != -1 && *id != 0xffffffff) {
    log_warning_once(
        fmt::format("{}: {} is {}, but there are {} tokens; it is not used", file.path(), key, *id, n_tokens));
  }
  return std::nullopt;
}

std::vector<std::int32_t> gguf_end_tokens(const GgufFile& file) {
  const auto* tokens = file.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  if (tokens == nullptr) return {};
  std::set<std::int32_t> ends;
  std::map<std::string_view, std::int32_t> known;  // of the texts above
  for (std::size_t i = 0; i < tokens->size(); ++i) {
    const std::string& text = (*tokens)[i];
    if (!is_control_text(text) && text != "<|plamo:eos|>") continue;
    known[text] = static_cast<std::int32_t>(i);
    if (is_in(kEnds, text)) ends.insert(static_cast<std::int32_t>(i));
  }
  const auto id_under = [&](std::string_view key) {
    return gguf_token_id(file, fmt::format("tokenizer.ggml.{}", key), tokens->size());
  };
  for (const std::string_view key : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    if (const auto id = id_under(key)) ends.insert(*id);
  }
  for (const Fill& fill : kFills) {
    if (!fill.ends) continue;
    auto id = id_under(fill.key);
    for (const std::string_view text : fill.texts) {
      if (!id && known.contains(text)) id = known[text];
    }
    if (id) ends.insert(*id);
  }
  // Where the end of a turn and of a call are told apart, <|end|> only ends a message.
  const auto ends_by = [&](std::string_view text) { return known.contains(text) && ends.contains(known[text]); };
  const bool calls = ends_by("<|call|>") || ends_by("<|calls|>");
  if (ends_by("<|end|>") && calls && (ends_by("<|return|>") || ends_by("<|flush|>"))) ends.erase(known["<|end|>"]);
  // These models have </s> as an ordinary token.
  if (ends_by("</s>") && (ends_by("<|tool_response>") || ends_by("<|plamo:eos|>"))) ends.erase(known["</s>"]);
  return {ends.begin(), ends.end()};
}

}  // namespace kvpress
