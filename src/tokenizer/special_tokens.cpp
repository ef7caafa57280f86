#include "tokenizer/special_tokens.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/json_text.h"
#include "formats/lfs_pointer.h"
#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"

namespace kvpress {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* kNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

bool is_standard(const std::string& key) {
  return std::find(std::begin(kNames), std::end(kNames), key) != std::end(kNames);
}

/// What a file says of a token: its text alone, or its flags as well.
struct Named {
  AddedToken token;
  bool has_flags = false;
  bool is_of_map = false;  ///< special_tokens_map.json has it, not tokenizer_config.json
  /// Whether the reference knows its text by the time it reads added_tokens.json.
  bool is_read_early() const { return is_of_map || !has_flags; }
};

Named plain(std::string content) {
  Named named;
  named.token.content = std::move(content);
  named.token.special = true;
  return named;
}

bool same(const Named& a, const Named& b) {
  return a.has_flags == b.has_flags && a.token.content == b.token.content &&
         (!a.has_flags || (a.token.special == b.token.special && a.token.normalized == b.token.normalized &&
                           a.token.single_word == b.token.single_word && a.token.lstrip == b.token.lstrip &&
                           a.token.rstrip == b.token.rstrip));
}

/// A string, or an object; nothing for null.
std::optional<Named> read_named(const json& value, const std::string& path, const std::string& key) {
  if (value.is_null()) return std::nullopt;
  if (value.is_string()) return plain(value.get<std::string>());
  if (!value.is_object()) fail("{}: {} is {}; it must be a string or an object", path, printable(key), brief(value));
  return Named{read_added_token(value, path, printable(key)), true};
}

std::vector<Named> read_list(const json& value, const std::string& path, const std::string& key) {
  std::vector<Named> list;
  if (value.is_null()) return list;
  if (!value.is_array()) fail("{}: {} is {}; it must be a list", path, key, brief(value));
  for (const json& it : value) {
    if (auto named = read_named(it, path, key)) list.push_back(std::move(*named));
  }
  return list;
}

/// The keys of an object, and those of the object within it called extra_special_tokens, in the order of the file.
class KeyOrder : public nlohmann::json_sax<json> {
 public:
  std::vector<std::string> keys;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return ++depth_ > 0; }
  bool end_object() override { return --depth_ >= 0; }
  bool start_array(std::size_t) override { return ++depth_ > 0; }
  bool end_array() override { return --depth_ >= 0; }
  bool key(string_t& key) override {
    if (depth_ == 1) in_extra_ = key == "extra_special_tokens";
    if (depth_ == 1 || (depth_ == 2 && in_extra_)) keys.push_back(key);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }

 private:
  int depth_ = 0;
  bool in_extra_ = false;
};

/// One of the files; an empty object if it is not there.
struct Document {
  explicit Document(const fs::path& file) : path(file.string()) {
    std::error_code error;
    if (!fs::is_regular_file(file, error)) return;
    const std::string text = read_file(file);
    refuse_lfs_pointer(text, path);
    object = parse_json(text, path);
    if (!object.is_object()) fail("{}: is not a JSON object", path);
    KeyOrder order;
    json::sax_parse(text, &order);
    for (const std::string& key : order.keys) place.emplace(key, place.size());
  }

  std::string path;
  json object = json::object();
  std::map<std::string, std::size_t> place;  ///< of keys in the file
};

using NamedList = std::vector<std::pair<std::string, Named>>;

void put(NamedList& list, const std::string& key, Named named) {
  const auto it = std::find_if(list.begin(), list.end(), [&](const auto& other) { return other.first == key; });
  if (it == list.end()) {
    list.emplace_back(key, std::move(named));
  } else {
    it->second = std::move(named);
  }
}

/// As special_tokens_map.json has them: special, and not normalized unless it says so.
Named of_map(Named named, const json& value) {
  named.token.special = true;
  named.is_of_map = true;
  if (!value.contains("normalized")) named.token.normalized = false;
  return named;
}

/// Everything that the files name.
class SpecialTokens {
 public:
  SpecialTokens(const fs::path& folder, const std::vector<StatedToken>& of_tokenizer_json) {
    read_config(folder / "tokenizer_config.json");
    if (!has_decoder_) {
      read_map(folder / "special_tokens_map.json");
      read_added(folder / "added_tokens.json");
      for (const auto& [id, token] : of_tokenizer_json) put_decoder(id, token);
    }
    // Named tokens behave as the list says.
    for (const char* name : kNames) {
      const auto it = named_.find(name);
      if (it == named_.end()) continue;
      if (const auto known = by_content_.find(it->second.token.content); known != by_content_.end()) {
        it->second = {known->second, true};
      }
    }
  }

  void set_default(const std::string& name, const std::string& content) {
    if (!content.empty() && !mentioned_.contains(name)) named_[name] = plain(content);
  }

  std::optional<std::string> content_of(const std::string& name) const {
    const auto it = named_.find(name);
    return it == named_.end() ? std::nullopt : std::optional(it->second.token.content);
  }
  bool splits_special() const { return splits_special_; }

  /// In the order in which the reference adds them.
  void add_to(AddedVocabulary& added, const Vocabulary& vocabulary, const std::string& path) const {
    std::vector<Named> tokens;
    std::map<std::string, bool> known;  // by content
    for (const AddedToken& it : added.tokens()) known[it.content] = true;
    for (const auto& [id, token] : decoder_) {
      tokens.push_back({token, true});
      known[token.content] = true;
    }
    std::vector<Named> of_names;
    for (const char* name : kNames) {
      if (const auto it = named_.find(name); it != named_.end()) of_names.push_back(it->second);
    }
    NamedList others = found_;
    for (const auto& [key, named] : stated_) put(others, key, named);
    for (const auto& [key, named] : others) of_names.push_back(named);
    const auto append = [&](const Named& named) {
      if (known.contains(named.token.content)) return;
      const bool there = std::any_of(tokens.begin(), tokens.end(), [&](const Named& it) { return same(it, named); });
      if (!there) tokens.push_back(named);
    };
    for (const Named& it : of_names) append(it);
    for (const Named& it : extra_) append(it);
    for (Named& it : tokens) {
      const auto has_its_content = [&](const Named& name) { return name.token.content == it.token.content; };
      if (std::any_of(of_names.begin(), of_names.end(), has_its_content)) it.token.special = true;
    }
    std::vector<AddedToken> all;
    for (const Named& it : tokens) all.push_back(it.token);
    added.add(all, vocabulary, path);
    for (const auto& [id, token] : decoder_) {
      const AddedToken* there = added.find(token.content);
      if (there == nullptr || there->id == id) continue;
      log_warning_once(fmt::format("{}: {} has id {} by its position, but {} in the file", path,
                                   printable(token.content), there->id, id));
    }
  }

 private:
  void put_decoder(std::int64_t id, const AddedToken& token) {
    decoder_[id] = token;
    by_content_[token.content] = token;
  }
  /// extra_special_tokens is a list of tokens, or an object of names and tokens.
  void read_extra(const Document& from, const char* key) {
    const json& value = from.object[key];
    if (!value.is_object()) {
      has_extra_ = true;
      extra_ = read_list(value, from.path, key);
      return;
    }
    NamedList list;
    for (const auto& [name, token] : value.items()) {
      if (auto named = read_named(token, from.path, name)) put(list, name, std::move(*named));
    }
    put_in_order(list, from, stated_);
  }
  static void put_in_order(NamedList& list, const Document& from, NamedList& to) {
    const auto place = [&](const auto& it) {
      const auto found = from.place.find(it.first);
      return found == from.place.end() ? from.place.size() : found->second;
    };
    std::stable_sort(list.begin(), list.end(), [&](const auto& a, const auto& b) { return place(a) < place(b); });
    for (auto& [key, named] : list) put(to, key, std::move(named));
  }
  static bool names_token(const std::string& key, const json& value) {
    return key.ends_with("_token") && (value.is_string() || value.is_object());
  }

  void read_config(const fs::path& file) {
    const Document from(file);
    NamedList texts, objects;
    for (const auto& [key, value] : from.object.items()) {
      if (is_standard(key)) {
        mentioned_[key] = true;
        if (auto named = read_named(value, from.path, key)) named_[key] = std::move(*named);
      } else if (key == "split_special_tokens") {
        if (!value.is_boolean() && !value.is_null()) fail("{}: {} must be true or false", from.path, key);
        splits_special_ = value.is_boolean() && value.get<bool>();
      } else if (names_token(key, value)) {
        (value.is_string() ? texts : objects).emplace_back(key, *read_named(value, from.path, key));
      }
    }
    put_in_order(texts, from, stated_);
    put_in_order(objects, from, found_);
    if (from.object.contains("extra_special_tokens")) {
      read_extra(from, "extra_special_tokens");
    } else if (from.object.contains("additional_special_tokens")) {
      read_extra(from, "additional_special_tokens");
    }
    if (!from.object.contains("added_tokens_decoder")) return;
    has_decoder_ = true;
    const json& decoder = from.object["added_tokens_decoder"];
    if (!decoder.is_object()) fail("{}: added_tokens_decoder must be an object of ids and tokens", from.path);
    for (const auto& [id, token] : decoder.items()) {
      std::int64_t number = 0;
      const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), number);
      if (error != std::errc() || end != id.data() + id.size()) {
        fail("{}: added_tokens_decoder: '{}' is not an id", from.path, printable(id));
      }
      put_decoder(number, read_added_token(token, from.path, "added_tokens_decoder"));
    }
  }

  void read_map(const fs::path& file) {
    const Document from(file);
    NamedList others;
    for (const auto& [key, value] : from.object.items()) {
      if (is_standard(key)) {
        mentioned_[key] = true;
        named_.erase(key);
        if (auto named = read_named(value, from.path, key)) named_[key] = of_map(std::move(*named), value);
      } else if (names_token(key, value)) {
        others.emplace_back(key, of_map(*read_named(value, from.path, key), value));
      } else if (key == "extra_special_tokens" && value.is_array()) {
        has_extra_ = true;
        for (const json& it : value) {
          auto named = read_named(it, from.path, key);
          if (!named) continue;
          *named = of_map(std::move(*named), it);
          const auto is_it = [&](const Named& there) { return same(there, *named); };
          if (std::none_of(extra_.begin(), extra_.end(), is_it)) extra_.push_back(std::move(*named));
        }
      } else if (key == "extra_special_tokens") {
        read_extra(from, "extra_special_tokens");
      }
    }
    put_in_order(others, from, found_);
    if (!has_extra_ && from.object.contains("additional_special_tokens")) {
      late_extra_ = read_list(from.object["additional_special_tokens"], from.path, "additional_special_tokens");
    }
  }

  void read_added(const fs::path& file) {
    const Document from(file);
    for (const auto& [content, id] : from.object.items()) {
      if (!id.is_number_integer()) {
        fail("{}: the id of {} is {}; it must be a whole number", from.path, printable(content), brief(id));
      }
      AddedToken token;
      token.content = content;
      const auto is_it = [&, text = content](const Named& it) {
        return it.is_read_early() && it.token.content == text;
      };
      for (const auto& [name, named] : named_) token.special = token.special || is_it(named);
      for (const Named& it : extra_) token.special = token.special || is_it(it);
      token.normalized = !token.special;
      put_decoder(id.get<std::int64_t>(), token);
    }
    if (!has_extra_) extra_ = late_extra_;
  }

  std::map<std::string, Named> named_;     // of kNames
  std::map<std::string, bool> mentioned_;  // also those that are null
  // image_token and the like: those that the reference is told of, and those that it finds by their names.
  NamedList stated_, found_;
  std::vector<Named> extra_, late_extra_;
  std::map<std::int64_t, AddedToken> decoder_;
  std::map<std::string, AddedToken> by_content_;
  bool has_extra_ = false, has_decoder_ = false, splits_special_ = false;
};

}  // namespace

AddedToken read_added_token(const json& value, const std::string& path, const std::string& of) {
  if (!value.is_object()) fail("{}: {} is {}; it must be an object", path, of, brief(value));
  AddedToken token;
  const auto content = value.find("content");
  if (content == value.end() || !content->is_string()) fail("{}: {}: content must be a string", path, of);
  token.content = content->get<std::string>();
  const auto flag = [&](const char* name, bool fallback) {
    const auto it = value.find(name);
    if (it == value.end() || it->is_null()) return fallback;
    if (!it->is_boolean()) fail("{}: {}: {} must be true or false", path, of, name);
    return it->get<bool>();
  };
  token.special = flag("special", false);
  token.normalized = flag("normalized", !token.special);
  token.single_word = flag("single_word", false);
  token.lstrip = flag("lstrip", false);
  token.rstrip = flag("rstrip", false);
  for (const auto& [key, unused] : value.items()) {
    constexpr const char* kKnown[] = {"content", "special", "normalized", "single_word",
                                      "lstrip",  "rstrip",  "id",         "__type"};
    if (std::find(std::begin(kKnown), std::end(kKnown), key) == std::end(kKnown)) {
      fail("{}: {}: {} is not known of a token", path, of, printable(key));
    }
  }
  return token;
}

void read_special_tokens(const fs::path& folder, const std::vector<StatedToken>& of_tokenizer_json,
                         const std::string& padding_token, TokenizerParts& parts) {
  SpecialTokens tokens(folder, of_tokenizer_json);
  tokens.set_default("pad_token", padding_token);
  tokens.add_to(parts.added, parts.vocabulary, (folder / "tokenizer_config.json").string());
  parts.splits_special = tokens.splits_special();
  const auto id_of = [&](const std::string& content) -> std::optional<std::int32_t> {
    if (const AddedToken* token = parts.added.find(content)) return token->id;
    return parts.vocabulary.find(content);
  };
  if (const auto bos = tokens.content_of("bos_token")) parts.bos_id = id_of(*bos);
  parts.eos_id = id_of(tokens.content_of("eos_token").value_or("<|endoftext|>"));
}

}  // namespace kvpress
