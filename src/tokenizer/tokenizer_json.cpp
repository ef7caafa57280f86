#include <nlohmann/json.hpp>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "base/file.h"
#include "base/json_text.h"
#include "formats/lfs_pointer.h"
#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "tokenizer/json_events.h"
#include "tokenizer/parts.h"
#include "tokenizer/special_tokens.h"

namespace kvpress {
namespace {

using nlohmann::json;

/// Reads the fields of tokenizer.json's parts; every error names the file.
class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }

  /// Null when absent.
  static const json& field(const json& part, const char* name) {
    static const json kNull;
    const auto it = part.is_object() ? part.find(name) : part.end();
    return part.is_object() && it != part.end() ? *it : kNull;
  }
  std::string text(const json& part, const char* name, const std::string& of) const {
    const json& it = field(part, name);
    if (!it.is_string()) fail("{}: {}: {} must be a string", path_, of, name);
    return it.get<std::string>();
  }
  bool flag(const json& part, const char* name, bool fallback, const std::string& of) const {
    const json& it = field(part, name);
    if (it.is_null()) return fallback;
    if (!it.is_boolean()) fail("{}: {}: {} must be true or false", path_, of, name);
    return it.get<bool>();
  }
  /// What is there must be known: it could change the tokens.
  void allow(const json& part, const std::string& of, std::initializer_list<std::string_view> known) const {
    if (!part.is_object()) return;
    for (const auto& [key, value] : part.items()) {
      if (value.is_null() || std::find(known.begin(), known.end(), key) != known.end()) continue;
      fail("{}: {}{}{} is not known", path_, of, of.empty() ? "" : ": ", printable(key));
    }
  }
  [[noreturn]] void unknown(const std::string& of, std::string_view name, std::string_view known) const {
    fail("{}: {} '{}' is not supported; supported: {}", path_, of, printable(name), known);
  }

 private:
  std::string path_;
};

/// Calls visit(part) for the parts of a Sequence in `list`, and of those within it; for anything else, for itself.
template <typename Visit>
void for_each_part(const Reader& reader, const json& part, const std::string& of, const char* list, Visit visit) {
  if (part.is_null()) return;
  if (reader.text(part, "type", of) != "Sequence") {
    visit(part);
    return;
  }
  reader.allow(part, of + ": Sequence", {"type", list});
  const json& parts = Reader::field(part, list);
  if (!parts.is_array()) fail("{}: {}: {} must be an array", reader.path(), of, list);
  for (const json& it : parts) for_each_part(reader, it, of, list, visit);
}

void read_normalizer(const Reader& reader, const json& rest, TokenizerParts& parts) {
  for_each_part(reader, Reader::field(rest, "normalizer"), "normalizer", "normalizers", [&](const json& part) {
    const std::string type = reader.text(part, "type", "normalizer");
    if (type != "NFC") reader.unknown("normalizer", type, "NFC, Sequence, null");
    reader.allow(part, "normalizer: NFC", {"type"});
    parts.nfc = true;
  });
}

SplitBehavior behavior_of(const Reader& reader, const std::string& name) {
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

void read_split(const Reader& reader, const json& part, TokenizerParts& parts) {
  const std::string of = "pre_tokenizer: Split";
  const std::string where = reader.path() + ": " + of;
  reader.allow(part, of, {"type", "pattern", "behavior", "invert"});
  const json& pattern = Reader::field(part, "pattern");
  reader.allow(pattern, of + ": pattern", {"Regex", "String"});
  const json& regex = Reader::field(pattern, "Regex");
  const SplitBehavior behavior = behavior_of(reader, reader.text(part, "behavior", of));
  const bool invert = reader.flag(part, "invert", false, of);
  if (regex.is_string()) {
    parts.steps.push_back(RegexSplit{Regex(regex.get<std::string>(), where), behavior, invert});
  } else {
    parts.steps.push_back(RegexSplit{Regex::literal(reader.text(pattern, "String", of), where), behavior, invert});
  }
}

void read_pre_tokenizer(const Reader& reader, const json& rest, TokenizerParts& parts) {
  bool byte_level = false;
  std::string names;
  for_each_part(reader, Reader::field(rest, "pre_tokenizer"), "pre_tokenizer", "pretokenizers", [&](const json& part) {
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
      if (reader.flag(part, "add_prefix_space", true, of)) parts.steps.push_back(PrefixSpace{});
      if (reader.flag(part, "use_regex", true, of)) {
        parts.steps.push_back(RegexSplit{Regex(kGpt2Pattern, reader.path())});
        names += names.empty() ? "gpt2" : "+gpt2";
      }
    } else if (type == "Digits") {
      reader.allow(part, of, {"type", "individual_digits"});
      parts.steps.push_back(DigitsSplit{reader.flag(part, "individual_digits", false, of)});
      names += names.empty() ? "digits" : "+digits";
    } else if (type == "Split") {
      read_split(reader, part, parts);
      names += names.empty() ? "split" : "+split";
    } else {
      reader.unknown("pre_tokenizer", type, "ByteLevel, Split, Digits, Sequence");
    }
  });
  if (!byte_level) fail("{}: has no ByteLevel pre_tokenizer; only byte-level BPE is supported", reader.path());
  parts.pre_tokenizer_name = names.empty() ? "none" : names;
}

/// Appends what a part of the template stands for to what is before or after the text.
void read_template(const Reader& reader, const json& processor, TokenizerParts& parts) {
  const std::string of = "post_processor: TemplateProcessing";
  reader.allow(processor, of, {"type", "single", "pair", "special_tokens"});
  const json& single = Reader::field(processor, "single");
  if (!single.is_array()) fail("{}: {}: single must be an array", reader.path(), of);
  std::vector<std::int32_t> before, after;
  bool has_text = false;
  for (const json& piece : single) {
    if (const json& sequence = Reader::field(piece, "Sequence"); !sequence.is_null()) {
      if (has_text || reader.text(sequence, "id", of) != "A") {
        fail("{}: {}: single must hold the text, Sequence A, once", reader.path(), of);
      }
      has_text = true;
      continue;
    }
    const std::string name = reader.text(Reader::field(piece, "SpecialToken"), "id", of);
    const json& ids = Reader::field(Reader::field(Reader::field(processor, "special_tokens"), name.c_str()), "ids");
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

/// What is put around a text; what is done to decoded text tells whether this is byte-level BPE.
void read_around(const Reader& reader, const json& rest, TokenizerParts& parts) {
  bool has_template = false;
  for_each_part(reader, Reader::field(rest, "post_processor"), "post_processor", "processors", [&](const json& part) {
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
  for_each_part(reader, Reader::field(rest, "decoder"), "decoder", "decoders", [&](const json& part) {
    const std::string type = reader.text(part, "type", "decoder");
    if (type != "ByteLevel") reader.unknown("decoder", type, "ByteLevel, Sequence, null");
  });
}

/// Returns what becomes of bytes that are not in the vocabulary.
MissingBytes read_model(const Reader& reader, const json& rest, const TokenizerDocument& document,
                        TokenizerParts& parts) {
  const json& model = Reader::field(rest, "model");
  if (!model.is_object()) fail("{}: has no model; a BPE model is needed", reader.path());
  reader.allow(model, "model",
               {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (const json& type = Reader::field(model, "type"); !type.is_null()) {
    if (const std::string name = reader.text(model, "type", "model"); name != "BPE") {
      reader.unknown("model", name, "BPE");
    }
  }
  if (!document.has_vocabulary || !document.has_merges) {
    fail("{}: model: vocab (an object) and merges (an array) are needed", reader.path());
  }
  if (const json& dropout = Reader::field(model, "dropout"); !dropout.is_null() && dropout != 0) {
    fail("{}: model: dropout is not supported; it must be null", reader.path());
  }
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (const json& it = Reader::field(model, name); !it.is_null() && it != "") {
      fail("{}: model: {} is not supported; it must be null or empty", reader.path(), name);
    }
  }
  parts.ignore_merges = reader.flag(model, "ignore_merges", false, "model");
  MissingBytes missing;
  missing.fallback = reader.flag(model, "byte_fallback", false, "model");
  missing.fuse_unk = reader.flag(model, "fuse_unk", false, "model");
  if (!Reader::field(model, "unk_token").is_null()) missing.unk_token = reader.text(model, "unk_token", "model");
  return missing;
}

void read_vocabulary(const Reader& reader, const TokenizerDocument& document, TokenizerParts& parts) {
  parts.vocabulary.reserve(document.tokens.size());
  std::size_t begin = 0;
  for (const auto& [end, id] : document.tokens) {
    const std::string_view token = std::string_view(document.text).substr(begin, end - begin);
    if (!parts.vocabulary.add(token, static_cast<std::int32_t>(id))) {
      fail("{}: model.vocab: token {} or id {} appears twice", reader.path(), printable(token), id);
    }
    begin = end;
  }
}

void read_merges(const Reader& reader, const TokenizerDocument& document, TokenizerParts& parts) {
  const std::string_view text = document.merge_text;
  const std::vector<std::size_t>& ends = document.merge_ends;
  MergeReader merges(parts, reader.path());
  parts.encoder.reserve(ends.size());
  std::size_t begin = 0;
  if (document.merges_are_pairs) {
    for (std::size_t i = 0; i + 1 < ends.size(); i += 2) {
      merges.add(text.substr(begin, ends[i] - begin), text.substr(ends[i], ends[i + 1] - ends[i]));
      begin = ends[i + 1];
    }
    return;
  }
  for (const std::size_t end : ends) {
    const std::string_view line = text.substr(begin, end - begin);
    if (!line.starts_with("#version")) merges.add(line);
    begin = end;
  }
}

/// Ids are given as the reference gives them: a token that is in the vocabulary keeps its id, the others follow behind
/// it in their order. (The file's own ids say the same, or the reference warns and goes its way.)
std::vector<StatedToken> read_added_tokens(const Reader& reader, const json& rest, TokenizerParts& parts) {
  std::vector<StatedToken> stated;
  std::vector<AddedToken> tokens;
  const json& list = Reader::field(rest, "added_tokens");
  if (list.is_null()) return stated;
  if (!list.is_array()) fail("{}: added_tokens must be an array", reader.path());
  for (const json& it : list) {
    AddedToken token = read_added_token(it, reader.path(), "added_tokens");
    if (token.content.empty()) continue;
    const json& id = Reader::field(it, "id");
    const bool has_id = id.is_number_unsigned() && id.get<std::uint64_t>() <= Vocabulary::kMaxId;
    tokens.push_back(token);
    stated.push_back({has_id ? id.get<std::int64_t>() : -1, std::move(token)});
  }
  parts.added.add(tokens, parts.vocabulary, reader.path());
  for (StatedToken& it : stated) {
    const std::int32_t id = parts.added.find(it.token.content)->id;
    if (it.id >= 0 && it.id != id) {
      log_warning_once(fmt::format("{}: added_tokens: {} has id {} by its position, but {} in the file", reader.path(),
                                   printable(it.token.content), id, it.id));
    }
    if (it.id < 0) it.id = id;
  }
  return stated;
}

/// The token that the file pads with; transformers takes it for the tokenizer's.
std::string padding_token(const Reader& reader, const json& rest) {
  const json& padding = Reader::field(rest, "padding");
  const json& token = Reader::field(padding, "pad_token");
  return token.is_null() ? "" : reader.text(padding, "pad_token", "padding");
}

}  // namespace

TokenizerParts read_tokenizer_json(const std::filesystem::path& path) {
  const Reader reader(path.string());
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  refuse_lfs_pointer(text, reader.path());
  const TokenizerDocument document = parse_tokenizer_document(text, reader.path());
  if (!document.rest.is_object()) fail("{}: is not a JSON object", reader.path());

  TokenizerParts parts;
  reader.allow(document.rest, "",
               {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
                "decoder", "model"});
  const MissingBytes missing = read_model(reader, document.rest, document, parts);
  read_normalizer(reader, document.rest, parts);
  read_pre_tokenizer(reader, document.rest, parts);
  read_around(reader, document.rest, parts);
  read_vocabulary(reader, document, parts);
  read_merges(reader, document, parts);
  const std::vector<StatedToken> added = read_added_tokens(reader, document.rest, parts);
  read_special_tokens(path.parent_path(), added, padding_token(reader, document.rest), parts);
  set_bytes(parts, missing, reader.path());
  return parts;
}

}  // namespace kvpress
