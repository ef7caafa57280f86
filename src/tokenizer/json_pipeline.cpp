#include "tokenizer/json_pipeline.h"

#include <array>
#include <cstddef>

#include "tokenizer/base64.h"

namespace kvpress {
namespace {

using nlohmann::json;

std::string plus(const std::string& names, std::string_view name) {
  return names.empty() ? std::string(name) : names + "+" + std::string(name);
}

/// A pattern of {"String": ...} or {"Regex": ...}.
Regex read_pattern(const JsonReader& reader, const json& part, const std::string& of) {
  const std::string where = reader.path() + ": " + of;
  const json& pattern = JsonReader::field(part, "pattern");
  reader.allow(pattern, of + ": pattern", {"Regex", "String"});
  const json& regex = JsonReader::field(pattern, "Regex");
  if (regex.is_string()) return {regex.get<std::string>(), where};
  return Regex::literal(reader.text(pattern, "String", of), where);
}

/// One character, as the reference has it.
std::string read_character(const JsonReader& reader, const json& part, const char* name, const std::string& of) {
  std::string text = reader.text(part, name, of);
  std::size_t end = 0;
  if (!text.empty()) next_code_point(text, end);
  if (text.empty() || end != text.size()) {
    fail("{}: {}: {} is '{}'; it must be one character", reader.path(), of, name, printable(text));
  }
  return text;
}

std::size_t read_count(const JsonReader& reader, const json& part, const char* name, const std::string& of) {
  const json& it = JsonReader::field(part, name);
  if (!it.is_number_unsigned()) fail("{}: {}: {} must be a whole number", reader.path(), of, name);
  return it.get<std::size_t>();
}

/// Metaspace's prepend_scheme, for which older files have add_prefix_space.
SpaceSigns::Prefix read_prefix(const JsonReader& reader, const json& part, const std::string& of) {
  const json& scheme = JsonReader::field(part, "prepend_scheme");
  const std::string name = scheme.is_null() ? "always" : reader.text(part, "prepend_scheme", of);
  constexpr std::pair<std::string_view, SpaceSigns::Prefix> kSchemes[] = {{"never", SpaceSigns::Prefix::never},
                                                                          {"first", SpaceSigns::Prefix::first},
                                                                          {"always", SpaceSigns::Prefix::always}};
  for (const auto& [known, prefix] : kSchemes) {
    if (known != name) continue;
    if (!reader.flag(part, "add_prefix_space", true, of) && prefix != SpaceSigns::Prefix::never) {
      fail("{}: {}: add_prefix_space is false, but prepend_scheme is '{}'; it must be never", reader.path(), of, name);
    }
    return prefix;
  }
  reader.unknown(of + ": prepend_scheme", name, "first, never, always");
}

SplitBehavior behavior_of(const JsonReader& reader, const std::string& name) {
  constexpr std::pair<std::string_view, SplitBehavior> kBehaviors[] = {
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous}};
  for (const auto& [known, behavior] : kBehaviors) {
    if (known == name) return behavior;
  }
  reader.unknown("pre_tokenizer: Split: behavior", name,
                 "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

void read_split(const JsonReader& reader, const json& part, TokenizerParts& parts) {
  const std::string of = "pre_tokenizer: Split";
  reader.allow(part, of, {"type", "pattern", "behavior", "invert"});
  const SplitBehavior behavior = behavior_of(reader, reader.text(part, "behavior", of));
  const bool invert = reader.flag(part, "invert", false, of);
  parts.steps.emplace_back(RegexSplit{read_pattern(reader, part, of), behavior, invert});
}

void read_space_signs(const JsonReader& reader, const json& part, TokenizerParts& parts) {
  const std::string of = "pre_tokenizer: Metaspace";
  reader.allow(part, of, {"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
  SpaceSigns signs;
  signs.sign = read_character(reader, part, "replacement", of);
  signs.prefix = read_prefix(reader, part, of);
  signs.split = reader.flag(part, "split", true, of);
  parts.steps.emplace_back(std::move(signs));
}

void read_one_normalizer(const JsonReader& reader, const json& part, TokenizerParts& parts) {
  const std::string type = reader.text(part, "type", "normalizer");
  const std::string of = "normalizer: " + printable(type);
  constexpr std::pair<std::string_view, NormalForm> kForms[] = {
      {"NFC", NormalForm::nfc}, {"NFD", NormalForm::nfd}, {"NFKC", NormalForm::nfkc}, {"NFKD", NormalForm::nfkd}};
  for (const auto& [name, form] : kForms) {
    if (name != type) continue;
    reader.allow(part, of, {"type"});
    parts.normalizer.add(form);
    return;
  }
  if (type == "Lowercase") {
    reader.allow(part, of, {"type"});
    parts.normalizer.add(Lowercase{});
  } else if (type == "Strip") {
    reader.allow(part, of, {"type", "strip_left", "strip_right"});
    parts.normalizer.add(
        StripSpace{reader.flag(part, "strip_left", false, of), reader.flag(part, "strip_right", false, of)});
  } else if (type == "Prepend") {
    reader.allow(part, of, {"type", "prepend"});
    parts.normalizer.add(PrependText{reader.text(part, "prepend", of)});
  } else if (type == "Replace") {
    reader.allow(part, of, {"type", "pattern", "content"});
    parts.normalizer.add(ReplaceText{read_pattern(reader, part, of), reader.text(part, "content", of)});
  } else if (type == "Precompiled") {
    reader.allow(part, of, {"type", "precompiled_charsmap"});
    const auto blob = from_base64(reader.text(part, "precompiled_charsmap", of));
    if (!blob) fail("{}: {}: precompiled_charsmap is not base64", reader.path(), of);
    parts.normalizer.add(ClusterRules{CharsMap(*blob, reader.path() + ": " + of)});
  } else {
    reader.unknown("normalizer", type,
                   "NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace, Precompiled, Sequence, null");
  }
}

/// Appends what a part of the template stands for to what is before or after the text.
void read_template(const JsonReader& reader, const json& processor, TokenizerParts& parts) {
  const std::string of = "post_processor: TemplateProcessing";
  reader.allow(processor, of, {"type", "single", "pair", "special_tokens"});
  const json& single = JsonReader::field(processor, "single");
  if (!single.is_array()) fail("{}: {}: single must be an array", reader.path(), of);
  std::vector<std::int32_t> before, after;
  bool has_text = false;
  for (const json& piece : single) {
    if (const json& sequence = JsonReader::field(piece, "Sequence"); !sequence.is_null()) {
      if (has_text || reader.text(sequence, "id", of) != "A") {
        fail("{}: {}: single must hold the text, Sequence A, once", reader.path(), of);
      }
      has_text = true;
      continue;
    }
    const std::string name = reader.text(JsonReader::field(piece, "SpecialToken"), "id", of);
    const json& ids =
        JsonReader::field(JsonReader::field(JsonReader::field(processor, "special_tokens"), name.c_str()), "ids");
    if (!ids.is_array()) fail("{}: {}: special_tokens has no ids of {}", reader.path(), of, printable(name));
    for (const json& id : ids) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() > Vocabulary::kMaxId) {
        fail("{}: {}: the ids of {} must be from 0 to {}", reader.path(), of, printable(name), Vocabulary::kMaxId);
      }
      (has_text ? after : before).push_back(id.get<std::int32_t>());
    }
  }
  if (!has_text) fail("{}: {}: single must hold the text, Sequence A, once", reader.path(), of);
  parts.before_text = std::move(before);
  parts.after_text = std::move(after);
}

/// Reads decoders one after another.
class DecoderReader {
 public:
  DecoderReader(const JsonReader& reader, TokenizerParts& parts) : reader_(reader), parts_(parts) {}

  void add(const json& part) {
    const std::string type = reader_.text(part, "type", "decoder");
    const std::string of = "decoder: " + printable(type);
    if (fused_ && type != "Strip" && type != "Fuse") {
      fail("{}: decoder '{}' after Fuse is not supported; only Strip is", reader_.path(), printable(type));
    }
    if (type == "ByteLevel") {
      parts_.decoder.add(ByteCharacters{});
    } else if (type == "ByteFallback") {
      reader_.allow(part, of, {"type"});
      parts_.decoder.add(ByteTokens{});
    } else if (type == "Fuse") {
      reader_.allow(part, of, {"type"});
      fused_ = true;
    } else if (type == "Metaspace") {
      reader_.allow(part, of, {"type", "replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"});
      const std::string sign = read_character(reader_, part, "replacement", of);
      parts_.decoder.add(ReplaceInToken{Regex::literal(sign, reader_.path()), " "});
      if (read_prefix(reader_, part, of) != SpaceSigns::Prefix::never) {
        parts_.decoder.set_begin(TextBegin::signs_of_first, sign);
      }
    } else if (type == "Replace") {
      reader_.allow(part, of, {"type", "pattern", "content"});
      parts_.decoder.add(ReplaceInToken{read_pattern(reader_, part, of), reader_.text(part, "content", of)});
    } else if (type == "Strip") {
      add_strip(part, of);
    } else {
      reader_.unknown("decoder", type,
                      "ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip, Sequence, null (of byte-level BPE)");
    }
  }

 private:
  void add_strip(const json& part, const std::string& of) {
    reader_.allow(part, of, {"type", "content", "start", "stop"});
    StripToken strip{read_character(reader_, part, "content", of), read_count(reader_, part, "start", of),
                     read_count(reader_, part, "stop", of)};
    if (!fused_) {
      parts_.decoder.add(std::move(strip));
      return;
    }
    if (stripped_) fail("{}: decoder: two Strip after Fuse are not supported", reader_.path());
    stripped_ = true;
    parts_.decoder.set_strip(std::move(strip));
  }

  const JsonReader& reader_;
  TokenizerParts& parts_;
  bool fused_ = false, stripped_ = false;
};

}  // namespace

void read_json_normalizer(const JsonReader& reader, const json& rest, TokenizerParts& parts) {
  std::size_t n_steps = 0;
  for_each_part(reader, JsonReader::field(rest, "normalizer"), "normalizer", "normalizers", [&](const json& part) {
    if (++n_steps > kMaxPreTokenizerSteps) {
      fail("{}: normalizer: more than {} steps are not supported", reader.path(), kMaxPreTokenizerSteps);
    }
    read_one_normalizer(reader, part, parts);
  });
}

void read_json_pre_tokenizer(const JsonReader& reader, const json& rest, TokenizerParts& parts) {
  bool byte_level = false;
  std::string names;
  for_each_part(
      reader, JsonReader::field(rest, "pre_tokenizer"), "pre_tokenizer", "pretokenizers", [&](const json& part) {
        const std::string type = reader.text(part, "type", "pre_tokenizer");
        const std::string of = "pre_tokenizer: " + printable(type);
        if (byte_level) {
          fail("{}: pre_tokenizer '{}' after ByteLevel is not supported; ByteLevel must be last", reader.path(),
               printable(type));
        }
        if (parts.steps.size() >= kMaxPreTokenizerSteps) {
          fail("{}: pre_tokenizer: more than {} steps are not supported", reader.path(), kMaxPreTokenizerSteps);
        }
        if (type == "ByteLevel") {
          byte_level = true;
          reader.allow(part, of, {"type", "add_prefix_space", "trim_offsets", "use_regex"});
          if (reader.flag(part, "add_prefix_space", true, of)) parts.steps.emplace_back(PrefixSpace{});
          if (reader.flag(part, "use_regex", true, of)) {
            parts.steps.emplace_back(RegexSplit{Regex(kGpt2Pattern, reader.path())});
            names = plus(names, "gpt2");
          }
        } else if (type == "Digits") {
          reader.allow(part, of, {"type", "individual_digits"});
          parts.steps.emplace_back(DigitsSplit{reader.flag(part, "individual_digits", false, of)});
          names = plus(names, "digits");
        } else if (type == "Split") {
          read_split(reader, part, parts);
          names = plus(names, "split");
        } else if (type == "Metaspace") {
          read_space_signs(reader, part, parts);
          names = plus(names, "metaspace");
        } else {
          reader.unknown("pre_tokenizer", type, "ByteLevel, Split, Digits, Metaspace, Sequence, null");
        }
      });
  if (!byte_level && parts.kind == TokenizerKind::byte_level) parts.kind = TokenizerKind::characters;
  if (byte_level && parts.kind == TokenizerKind::unigram) {
    fail("{}: pre_tokenizer 'ByteLevel' of a Unigram model is not supported", reader.path());
  }
  parts.pre_tokenizer_name = names.empty() ? "none" : names;
}

void read_json_post_processor(const JsonReader& reader, const json& rest, TokenizerParts& parts) {
  bool has_template = false;
  for_each_part(reader, JsonReader::field(rest, "post_processor"), "post_processor", "processors",
                [&](const json& part) {
                  const std::string type = reader.text(part, "type", "post_processor");
                  if (type == "TemplateProcessing") {
                    // In the reference the second loses the text.
                    if (std::exchange(has_template, true))
                      fail("{}: post_processor: two TemplateProcessing are not supported", reader.path());
                    read_template(reader, part, parts);
                  } else if (type != "ByteLevel") {
                    reader.unknown("post_processor", type, "ByteLevel, TemplateProcessing, Sequence, null");
                  }
                });
}

void read_json_decoder(const JsonReader& reader, const json& rest, TokenizerParts& parts) {
  const json& decoder = JsonReader::field(rest, "decoder");
  DecoderReader decoders(reader, parts);
  for_each_part(reader, decoder, "decoder", "decoders", [&](const json& part) { decoders.add(part); });
  if (!decoder.is_null()) return;
  // The reference then writes a space between any two tokens.
  if (parts.kind != TokenizerKind::byte_level) fail("{}: has no decoder; one is needed", reader.path());
  parts.decoder.add(ByteCharacters{});
}

}  // namespace kvpress
