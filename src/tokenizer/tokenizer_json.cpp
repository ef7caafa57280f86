#include <nlohmann/json.hpp>

#include <system_error>
#include <unordered_map>

#include "base/file.h"
#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"
#include "tokenizer/json_events.h"
#include "tokenizer/parts.h"

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
  const json& parts = Reader::field(part, list);
  if (!parts.is_array()) fail("{}: {}: {} must be an array", reader.path(), of, list);
  for (const json& it : parts) for_each_part(reader, it, of, list, visit);
}

void read_normalizer(const Reader& reader, const json& rest, TokenizerParts& parts) {
  for_each_part(reader, Reader::field(rest, "normalizer"), "normalizer", "normalizers", [&](const json& part) {
    const std::string type = reader.text(part, "type", "normalizer");
    if (type != "NFC") reader.unknown("normalizer", type, "NFC, Sequence, null");
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
  const json& pattern = Reader::field(part, "pattern");
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
    if (type == "ByteLevel") {
      byte_level = true;
      if (reader.flag(part, "add_prefix_space", true, of)) parts.steps.push_back(PrefixSpace{});
      if (reader.flag(part, "use_regex", true, of)) {
        parts.steps.push_back(RegexSplit{Regex(kGpt2Pattern, reader.path())});
        names += names.empty() ? "gpt2" : "+gpt2";
      }
    } else if (type == "Digits") {
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

/// What these would add around a text or do to decoded text is not for us; but they tell whether this is byte-level
/// BPE.
void check_around(const Reader& reader, const json& rest) {
  for_each_part(reader, Reader::field(rest, "post_processor"), "post_processor", "processors", [&](const json& part) {
    const std::string type = reader.text(part, "type", "post_processor");
    if (type != "ByteLevel" && type != "TemplateProcessing") {
      reader.unknown("post_processor", type, "ByteLevel, TemplateProcessing, Sequence, null");
    }
  });
  for_each_part(reader, Reader::field(rest, "decoder"), "decoder", "decoders", [&](const json& part) {
    const std::string type = reader.text(part, "type", "decoder");
    if (type != "ByteLevel") reader.unknown("decoder", type, "ByteLevel, Sequence, null");
  });
}

void check_model(const Reader& reader, const json& rest, const TokenizerDocument& document, TokenizerParts& parts) {
  const json& model = Reader::field(rest, "model");
  if (!model.is_object()) fail("{}: has no model; a BPE model is needed", reader.path());
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
void read_added_tokens(const Reader& reader, const json& rest, TokenizerParts& parts) {
  const json& list = Reader::field(rest, "added_tokens");
  if (list.is_null()) return;
  if (!list.is_array()) fail("{}: added_tokens must be an array", reader.path());
  const std::string of = "added_tokens";
  std::unordered_map<std::string, std::size_t> seen;
  std::int64_t next_id = static_cast<std::int64_t>(parts.vocabulary.size());
  for (const json& it : list) {
    AddedToken token;
    token.content = reader.text(it, "content", of);
    token.special = reader.flag(it, "special", false, of);
    token.normalized = reader.flag(it, "normalized", !token.special, of);
    token.single_word = reader.flag(it, "single_word", false, of);
    token.lstrip = reader.flag(it, "lstrip", false, of);
    token.rstrip = reader.flag(it, "rstrip", false, of);
    if (token.content.empty()) continue;
    if (const auto before = seen.find(token.content); before != seen.end()) {  // the later one says how it behaves
      token.id = parts.added_tokens[before->second].id;
      parts.added_tokens[before->second] = token;
      continue;
    }
    token.id = parts.vocabulary.find(token.content).value_or(static_cast<std::int32_t>(next_id));
    if (token.id == next_id) ++next_id;
    if (token.id > Vocabulary::kMaxId) fail("{}: added_tokens: more than {} ids", reader.path(), Vocabulary::kMaxId);
    if (const json& stated = Reader::field(it, "id"); stated.is_number_integer() && stated != token.id) {
      log_warning_once(fmt::format("{}: added_tokens: {} has id {} by its position, but {} in the file", reader.path(),
                                   printable(token.content), token.id, stated.dump()));
    }
    seen.emplace(token.content, parts.added_tokens.size());
    parts.added_tokens.push_back(std::move(token));
  }
}

std::optional<std::int32_t> id_of(const TokenizerParts& parts, const std::string& content) {
  for (const AddedToken& token : parts.added_tokens) {
    if (token.content == content) return token.id;
  }
  return parts.vocabulary.find(content);
}

/// tokenizer.json does not say which token ends a text; the tokenizer_config.json beside it does.
void read_eos(const std::filesystem::path& tokenizer_json, TokenizerParts& parts) {
  const std::filesystem::path path = tokenizer_json.parent_path() / "tokenizer_config.json";
  std::string name = "<|endoftext|>";
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) {
    const json config = json::parse(read_file(path), nullptr, false);
    if (config.is_discarded()) fail("{}: is not valid JSON", path.string());
    const json& eos = Reader::field(config, "eos_token");
    const json& content = eos.is_object() ? Reader::field(eos, "content") : eos;
    if (content.is_string()) name = content.get<std::string>();
  }
  parts.eos_id = id_of(parts, name);
}

}  // namespace

TokenizerParts read_tokenizer_json(const std::filesystem::path& path) {
  const Reader reader(path.string());
  const MappedFile file(path);
  const auto bytes = file.bytes();
  const TokenizerDocument document =
      parse_tokenizer_document({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, reader.path());
  if (!document.rest.is_object()) fail("{}: is not a JSON object", reader.path());

  TokenizerParts parts;
  check_model(reader, document.rest, document, parts);
  read_normalizer(reader, document.rest, parts);
  read_pre_tokenizer(reader, document.rest, parts);
  check_around(reader, document.rest);
  read_vocabulary(reader, document, parts);
  read_merges(reader, document, parts);
  read_added_tokens(reader, document.rest, parts);
  read_eos(path, parts);
  set_bytes(parts);
  return parts;
}

}  // namespace kvpress
