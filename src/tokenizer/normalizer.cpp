#include "tokenizer/normalizer.h"

#include <utility>

#include "kvpress/base/error.h"

namespace kvpress {
namespace {

/// What a text of this size may grow to. (The largest compatibility decomposition makes 11 bytes of one.)
std::size_t max_size(std::size_t n_bytes) { return 64 * n_bytes + (std::size_t{1} << 16); }

// Each of these answers with the text itself, or with a copy in `out`, which is empty before.

std::string_view apply_step(NormalForm form, std::string_view text, std::string& out, bool&) {
  return to_normal_form(text, form, out);
}

std::string_view apply_step(const Lowercase&, std::string_view text, std::string& out, bool&) {
  return to_lowercase(text, out);
}

std::string_view apply_step(const StripSpace& step, std::string_view text, std::string&, bool& is_first) {
  while (step.left && !text.empty()) {
    std::size_t next = 0;
    if (!is_white_space(next_code_point(text, next))) break;
    text.remove_prefix(next);
    is_first = false;
  }
  while (step.right && !text.empty()) {
    if (!is_white_space(last_code_point(text))) break;
    while ((static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.remove_suffix(1);
    text.remove_suffix(1);
  }
  return text;
}

std::string_view apply_step(const PrependText& step, std::string_view text, std::string& out, bool&) {
  if (text.empty()) return text;
  out = step.text;
  out += text;
  return out;
}

std::string_view apply_step(const ReplaceText& step, std::string_view text, std::string& out, bool& is_first) {
  Regex::Match match{};
  if (step.content.empty() && step.regex.find(text, 0, match) && match.begin == 0 && match.end > 0) is_first = false;
  return replace_matches(step.regex, text, step.content, out, max_size(text.size()));
}

std::string_view apply_step(const ClusterRules& step, std::string_view text, std::string& out, bool& is_first) {
  // The reference looks up a cluster of fewer bytes than this as a whole, and takes the shortest rule for it.
  constexpr std::size_t kLookedUp = 6;
  GraphemeBreaks breaks;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    char32_t last = next_code_point(text, end);
    while (end < text.size()) {
      std::size_t next = end;
      const char32_t code = next_code_point(text, next);
      if (breaks.between(last, code)) break;
      last = code;
      end = next;
    }
    const std::string_view cluster = text.substr(at, end - at);
    at = end;
    if (cluster.size() < kLookedUp) {
      if (const auto rule = step.rules.shortest(cluster)) {
        if (out.empty() && rule->text.empty()) is_first = false;
        out += rule->text;
        continue;
      }
    }
    for (std::size_t i = 0; i < cluster.size();) {
      const std::size_t begin = i;
      next_code_point(cluster, i);
      const std::string_view character = cluster.substr(begin, i - begin);
      const auto rule = step.rules.shortest(character);
      if (out.empty() && rule && rule->text.empty()) is_first = false;
      out += rule ? rule->text : character;
    }
  }
  return out;
}

/// What the beginning of a text becomes, and how much of it that is.
CharsMap::Rule rewrite(const SentencePieceRules& step, std::string_view text) {
  if (const std::size_t length = step.untouched.longest_prefix(text, 0); length > 0) {
    return {length, text.substr(0, length)};
  }
  if (const auto rule = step.rules.longest(text)) return *rule;
  std::size_t length = 0;
  next_code_point(text, length);
  return {length, text.substr(0, length)};
}

std::string_view apply_step(const SentencePieceRules& step, std::string_view text, std::string& out,
                            const bool& is_first) {
  const std::string_view space = step.escape_spaces ? kSpaceSign : " ";
  if (step.remove_extra_spaces) {
    while (!text.empty()) {
      const CharsMap::Rule first = rewrite(step, text);
      if (first.text != " ") break;
      text.remove_prefix(first.length);
    }
  }
  if (text.empty()) return text;
  if (step.add_prefix && !step.prefix_is_suffix && is_first) out += space;
  bool after_space = step.remove_extra_spaces;
  while (!text.empty()) {
    const CharsMap::Rule rule = rewrite(step, text);
    std::string_view rewritten = rule.text;
    while (after_space && rewritten.starts_with(' ')) rewritten.remove_prefix(1);
    for (const char c : rewritten) {
      if (c == ' ') {
        out += space;
      } else {
        out += c;
      }
    }
    if (!rewritten.empty()) after_space = step.remove_extra_spaces && rewritten.ends_with(' ');
    text.remove_prefix(rule.length);
  }
  while (step.remove_extra_spaces && out.ends_with(space)) out.erase(out.size() - space.size());
  if (step.add_prefix && step.prefix_is_suffix) out += space;
  return out;
}

}  // namespace

std::string_view Normalizer::apply(std::string_view text, std::string& storage, bool& is_first) const {
  const std::size_t limit = max_size(text.size());
  for (const NormalizerStep& step : steps_) {
    std::string out;
    const std::string_view result =
        std::visit([&](const auto& it) { return apply_step(it, text, out, is_first); }, step);
    // It may be a part of what `storage` holds.
    if (result.data() == out.data()) {
      const std::size_t n = result.size();
      storage = std::move(out);
      text = std::string_view(storage).substr(0, n);
    } else {
      text = result;
    }
    if (text.size() > limit) fail("the tokenizer's normalizer makes more than {} bytes of a text", limit);
  }
  return text;
}

std::string_view Normalizer::apply(std::string_view text, std::string& storage) const {
  bool is_first = true;
  return apply(text, storage, is_first);
}

std::string Normalizer::description() const {
  std::string names;
  const auto add = [&](std::string_view name) {
    if (!names.empty()) names += ", ";
    names += name;
  };
  for (const NormalizerStep& step : steps_) {
    if (const auto* form = std::get_if<NormalForm>(&step)) {
      constexpr std::string_view kNames[] = {"NFC", "NFD", "NFKC", "NFKD"};
      add(kNames[static_cast<std::size_t>(*form)]);
    } else if (std::holds_alternative<Lowercase>(step)) {
      add("lower case");
    }
  }
  return names;
}

}  // namespace kvpress
