#include "kvpress/tokenizer/tokenizer.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/file.h"
#include "kvpress/tokenizer/bpe.h"
#include "kvpress/tokenizer/pre_tokenizer.h"

namespace kvpress {
namespace {

using nlohmann::json;

struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool special = false;
  bool normalized = false;
};

/// A stretch of text, or an added token found in it.
struct Part {
  std::string_view text;
  std::int32_t id = -1;
};

/// Cuts text at the added tokens, the leftmost and of those the longest first.
std::vector<Part> cut(std::string_view text, const std::vector<const AddedToken*>& tokens) {
  std::vector<Part> parts;
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size();) {
    const AddedToken* found = nullptr;
    for (const AddedToken* it : tokens) {
      if (it->content.front() == text[i] && text.substr(i, it->content.size()) == it->content) {
        found = it;
        break;
      }
    }
    if (found == nullptr) {
      ++i;
      continue;
    }
    if (i > start) parts.push_back({text.substr(start, i - start)});
    parts.push_back({{}, found->id});
    i += found->content.size();
    start = i;
  }
  if (start < text.size()) parts.push_back({text.substr(start)});
  return parts;
}

}  // namespace

struct Tokenizer::Impl {
  Bpe bpe;
  std::vector<Splitter> splitters;
  std::vector<AddedToken> added;
  std::vector<const AddedToken*> raw_added, normalized_added;  // longest first
  bool use_nfc = false;
  std::string pre_name;
  std::optional<std::int32_t> eos;

  void index_added() {
    std::sort(added.begin(), added.end(),
              [](const AddedToken& a, const AddedToken& b) { return a.content.size() > b.content.size(); });
    for (const AddedToken& it : added) (it.normalized ? normalized_added : raw_added).push_back(&it);
  }
  const AddedToken* added_token(std::int32_t id) const {
    const auto it = std::find_if(added.begin(), added.end(), [&](const AddedToken& token) { return token.id == id; });
    return it == added.end() ? nullptr : &*it;
  }
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

namespace {

void add_pre_tokenizer(const json& part, std::vector<Splitter>& splitters, std::string& name, const std::string& path) {
  const std::string type = part.value("type", "");
  if (type == "Sequence") {
    for (const json& it : part.at("pretokenizers")) add_pre_tokenizer(it, splitters, name, path);
    return;
  }
  if (type == "ByteLevel") {
    if (part.value("add_prefix_space", false)) fail("{}: ByteLevel with add_prefix_space is not supported", path);
    if (!part.value("use_regex", true)) return;
    splitters.emplace_back(kGpt2Pattern, path);
    name += name.empty() ? "gpt2" : "+gpt2";
    return;
  }
  if (type == "Digits" && part.value("individual_digits", false)) {
    splitters.emplace_back(kDigitPattern, path);
    name += "digits";
    return;
  }
  if (type == "Split" && part.value("behavior", "") == "Isolated" && !part.value("invert", false) &&
      part.at("pattern").contains("Regex")) {
    splitters.emplace_back(part.at("pattern").at("Regex").get<std::string>(), path);
    name += "split";
    return;
  }
  fail("{}: pre-tokenizer '{}' is not known as it is set up; known: ByteLevel, Digits, Split by a pattern, Sequence",
       path, type);
}

}  // namespace

Tokenizer Tokenizer::from_json(const std::filesystem::path& tokenizer_json) {
  const std::string path = tokenizer_json.string();
  try {
    const json root = json::parse(read_file(tokenizer_json));
    const json& model = root.at("model");
    if (model.value("type", "BPE") != "BPE") fail("{}: model '{}' is not known; BPE is", path, model.value("type", ""));
    std::unordered_map<std::string, std::int32_t> vocab;
    for (const auto& [token, id] : model.at("vocab").items()) vocab.emplace(token, id.get<std::int32_t>());
    std::vector<std::pair<std::string, std::string>> merges;
    for (const json& it : model.at("merges")) {
      if (it.is_array()) {
        merges.emplace_back(it.at(0).get<std::string>(), it.at(1).get<std::string>());
        continue;
      }
      const auto text = it.get<std::string>();
      const auto space = text.find(' ');
      if (space == std::string::npos) fail("{}: merge '{}' is not two tokens", path, text);
      merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
    const bool ignore_merges = model.value("ignore_merges", false);
    auto impl =
        std::make_unique<Impl>(Impl{Bpe(std::move(vocab), merges, ignore_merges, path), {}, {}, {}, {}, false, "", {}});

    const json normalizer = root.value("normalizer", json());
    if (!normalizer.is_null()) {
      if (normalizer.value("type", "") != "NFC") {
        fail("{}: normalizer '{}' is not known; NFC is", path, normalizer.value("type", ""));
      }
      impl->use_nfc = true;
    }
    add_pre_tokenizer(root.at("pre_tokenizer"), impl->splitters, impl->pre_name, path);
    for (const json& it : root.value("added_tokens", json::array())) {
      if (it.value("lstrip", false) || it.value("rstrip", false) || it.value("single_word", false)) {
        fail("{}: added token '{}' strips blanks or wants a whole word, which is not supported", path,
             it.value("content", ""));
      }
      AddedToken token{it.at("content").get<std::string>(), it.at("id").get<std::int32_t>(), it.value("special", false),
                       it.value("normalized", false)};
      if (token.content.empty()) fail("{}: an added token is empty", path);
      impl->added.push_back(std::move(token));
    }
    impl->index_added();
    for (const AddedToken& it : impl->added) {
      if (it.content == "<|endoftext|>") impl->eos = it.id;
    }
    return Tokenizer(std::move(impl));
  } catch (const json::exception& error) {
    fail("{}: is not a tokenizer.json that can be read: {}", path, error.what());
  }
}

Tokenizer Tokenizer::from_gguf(const GgufFile& file) {
  const auto* model = file.get<std::string>("tokenizer.ggml.model");
  if (model == nullptr || *model != "gpt2") {
    fail("{}: tokenizer '{}' is not known; gpt2 is", file.path(), model == nullptr ? "none" : *model);
  }
  const auto* tokens = file.get<std::vector<std::string>>("tokenizer.ggml.tokens");
  const auto* merge_lines = file.get<std::vector<std::string>>("tokenizer.ggml.merges");
  if (tokens == nullptr || merge_lines == nullptr) fail("{}: its tokenizer has no tokens or no merges", file.path());
  std::unordered_map<std::string, std::int32_t> vocab;
  for (std::size_t i = 0; i < tokens->size(); ++i) vocab.emplace((*tokens)[i], static_cast<std::int32_t>(i));
  std::vector<std::pair<std::string, std::string>> merges;
  for (const std::string& line : *merge_lines) {
    const auto space = line.find(' ', 1);
    if (space == std::string::npos) fail("{}: merge '{}' is not two tokens", file.path(), line);
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  auto impl =
      std::make_unique<Impl>(Impl{Bpe(std::move(vocab), merges, false, file.path()), {}, {}, {}, {}, false, "", {}});
  const auto* pre = file.get<std::string>("tokenizer.ggml.pre");
  impl->pre_name = pre == nullptr ? "default" : *pre;
  if (impl->pre_name == "smollm") {
    impl->splitters.emplace_back(kDigitPattern, file.path());
  } else if (impl->pre_name != "gpt-2") {
    fail("{}: pre-tokenizer '{}' is not known; known: gpt-2, smollm", file.path(), impl->pre_name);
  }
  impl->splitters.emplace_back(kGpt2Pattern, file.path());
  constexpr std::int64_t kControl = 3;
  constexpr std::int64_t kUserDefined = 4;
  if (const auto* types = file.get<std::vector<std::int64_t>>("tokenizer.ggml.token_type")) {
    for (std::size_t i = 0; i < std::min(types->size(), tokens->size()); ++i) {
      const std::int64_t type = (*types)[i];
      if ((type == kControl || type == kUserDefined) && !(*tokens)[i].empty()) {
        impl->added.push_back({(*tokens)[i], static_cast<std::int32_t>(i), type == kControl, false});
      }
    }
  }
  impl->index_added();
  if (const auto* eos = file.get<std::int64_t>("tokenizer.ggml.eos_token_id")) {
    impl->eos = static_cast<std::int32_t>(*eos);
  }
  return Tokenizer(std::move(impl));
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  const std::string valid = valid_utf8(text);
  std::vector<std::int32_t> ids;
  std::unordered_map<std::string_view, std::vector<std::int32_t>> known;  // words come again and again
  const auto encode_plain = [&](std::string_view part) {
    std::vector<std::string_view> pieces = {part};
    for (const Splitter& it : impl_->splitters) pieces = it.split(pieces);
    known.clear();
    for (const std::string_view piece : pieces) {
      const auto [it, is_new] = known.try_emplace(piece);
      if (is_new) impl_->bpe.encode(piece, it->second);
      ids.insert(ids.end(), it->second.begin(), it->second.end());
    }
  };
  for (const Part& raw : cut(valid, impl_->raw_added)) {
    if (raw.id >= 0) {
      ids.push_back(raw.id);
      continue;
    }
    const std::string normalized = impl_->use_nfc ? nfc(std::string(raw.text)) : std::string(raw.text);
    for (const Part& part : cut(normalized, impl_->normalized_added)) {
      if (part.id >= 0) {
        ids.push_back(part.id);
      } else {
        encode_plain(part.text);
      }
    }
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, bool skip_special) const {
  std::string text;
  for (const std::int32_t id : ids) {
    const AddedToken* added = impl_->added_token(id);
    if (added == nullptr) {
      text += impl_->bpe.bytes_of(id);
    } else if (!(skip_special && added->special)) {
      text += added->content;
    }
  }
  return text;
}

std::int64_t Tokenizer::vocab_size() const {
  std::int64_t size = 0;
  for (const auto& [token, id] : impl_->bpe.vocab()) size = std::max<std::int64_t>(size, id + 1);
  for (const AddedToken& it : impl_->added) size = std::max<std::int64_t>(size, it.id + 1);
  return size;
}

std::optional<std::int32_t> Tokenizer::eos_id() const { return impl_->eos; }

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  for (const AddedToken& it : impl_->added) {
    if (it.content == token) return it.id;
  }
  const auto it = impl_->bpe.vocab().find(std::string(token));
  if (it == impl_->bpe.vocab().end()) return std::nullopt;
  return it->second;
}

std::string Tokenizer::description() const {
  return fmt::format("byte-level BPE, pre-tokenizer {}{}, {} ids", impl_->pre_name, impl_->use_nfc ? ", NFC" : "",
                     vocab_size());
}

}  // namespace kvpress
