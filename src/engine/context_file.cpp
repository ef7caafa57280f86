#include "kvpress/engine/context_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/file.h"
#include "engine/context_format.h"
#include "formats/model_fingerprint.h"
#include "formats/printable.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/threads.h"
#include "kvpress/base/version.h"
#include "kvpress/press/press_state.h"

namespace kvpress {

static_assert(std::endian::native == std::endian::little, "files are little-endian, and read as they are");

namespace {

namespace format = context_format;

/// Whether presses of the plan act on what follows.
bool acts(const CompressionPlan& plan, bool decodes) {
  return plan.decoding != nullptr || (!decodes && plan.prefill != nullptr);
}

void check_can_save(const CompressionPlan& plan, const ModelConfig& config, bool decodes, bool with_text) {
  if (!acts(plan, decodes)) return;
  for (const Press* press : {decodes && plan.prefill != plan.decoding ? nullptr : plan.prefill, plan.decoding}) {
    if (press == nullptr) continue;
    try {
      check_lists_state(*press, config);
    } catch (const UsageError& error) {
      fail_usage("press {}: {}", plan.name, error.what());
    }
    if (!with_text && press->kind() == PressKind::context) {
      fail_usage("press {}: reads the text again when it compresses; store the text", plan.name);
    }
  }
}

/// The tensors of a sequence, and what they show that the sequence does not own.
struct Tensors {
  CompressorState state;
  std::vector<HeadExtents> extents;
  std::vector<RawTensor> raw;

  void add(std::string name, std::string_view type, std::vector<std::int64_t> shape, std::span<const std::byte> data) {
    if (!data.empty()) raw.push_back({std::move(name), std::string(type), std::move(shape), data});
  }
  template <typename T>
  void add(std::string name, std::string_view type, const std::vector<T>& values) {
    add(std::move(name), type, {std::ssize(values)}, std::as_bytes(std::span(values)));
  }
};

void add_head(Tensors& tensors, const KVCache& cache, std::int64_t l, std::int64_t h, bool carries_floats) {
  for (const auto& it : cache.head(l, h).parts()) {
    if (!carries_floats && it.name.starts_with("carried.")) continue;
    std::vector<std::int64_t> shape = {it.rows};
    if (it.cols > 0) shape.push_back(it.cols);
    tensors.add(format::part_name(l, h, it.name), it.type, std::move(shape), it.data);
  }
  const HeadExtents& extents = tensors.extents[static_cast<std::size_t>(l * cache.shape().n_kv_heads + h)];
  tensors.add(format::part_name(l, h, format::kChannels), "I32", extents.channels);
}

Tensors tensors_of(const Sequence& sequence, bool with_text, bool carries_floats) {
  const ModelConfig& config = sequence.model().config();
  const KVCache& cache = sequence.cache();
  Tensors tensors;
  tensors.state = sequence.compressor().state(config);
  if (with_text) tensors.add(format::kTokens, "I32", tensors.state.tokens);
  const Matrix<const float> hidden = sequence.last_hidden();
  if (hidden.rows > 0) {
    tensors.add(format::kLastHidden, "F32", {hidden.cols},
                std::as_bytes(std::span(hidden.row(0), static_cast<std::size_t>(hidden.cols))));
  }
  const std::int64_t cols = config.n_heads * config.head_dim;
  for (std::size_t l = 0; l < tensors.state.recent_queries.size(); ++l) {
    const std::vector<float>& rows = tensors.state.recent_queries[l];
    tensors.add(format::recent_queries_name(static_cast<std::int64_t>(l)), "F32", {std::ssize(rows) / cols, cols},
                std::as_bytes(std::span(rows)));
  }
  const CacheShape& shape = cache.shape();
  for (std::int64_t l = 0; l < shape.n_layers; ++l) {
    for (std::int64_t h = 0; h < shape.n_kv_heads; ++h) tensors.extents.push_back(cache.head(l, h).extents());
  }
  for (std::int64_t l = 0; l < shape.n_layers; ++l) {
    for (std::int64_t h = 0; h < shape.n_kv_heads; ++h) add_head(tensors, cache, l, h, carries_floats);
  }
  for (const auto& [name, state] : {std::pair{format::kPrefillPress, &tensors.state.prefill_press},
                                    std::pair{format::kDecodingPress, &tensors.state.decoding_press}}) {
    tensors.add(name, "U8", {std::ssize(*state)}, std::as_bytes(std::span(*state)));
  }
  return tensors;
}

format::Header header_of(const Sequence& sequence, const CompressorState& state, const ContextOrigin& origin,
                         bool with_text) {
  format::Header header;
  header.turns = format::turns_of(sequence.model().config());
  header.carries_floats = sequence.compressor().has_press();
  header.active = state.active;
  header.n_prompt = state.n_prompt;
  header.n_decoded = state.n_decoded;
  ContextInfo& info = header.info;
  info.origin = origin;
  info.numbers = sequence.model().numbers();
  info.settings = sequence.settings();
  info.shape = sequence.cache().shape();
  info.n_tokens = std::ssize(state.tokens);
  info.origin.n_planned = std::max(origin.n_planned, info.n_tokens);
  info.text_hash = format::hash_of_tokens(state.tokens);
  info.has_text = with_text;
  info.decodes = state.decodes;
  info.prefill_sec = sequence.times().prefill;
  info.compress_sec = sequence.times().compress;
  return header;
}

}  // namespace

ContextOrigin origin_of(const OpenedModel& opened) {
  return {opened.name, weights_fingerprint(*opened.files), tokenizer_fingerprint(*opened.files)};
}

void check_can_save(const CompressionSettings& settings, const ModelConfig& config, bool with_text) {
  const CompressionPlan plan = settings.plan();
  // Without a press for decoding the prefill's has nothing to do any more once it is over.
  check_can_save(plan, config, plan.decoding == nullptr, with_text);
}

void save_context(const Sequence& sequence, const std::filesystem::path& path, const ContextOrigin& origin,
                  bool with_text) {
  check_can_save(sequence.settings().plan(), sequence.model().config(), sequence.decodes(), with_text);
  Tensors tensors = tensors_of(sequence, with_text, sequence.compressor().has_press());
  std::uint64_t sum = 0;
  tensors.raw.push_back({format::kChecksum, "U8", {sizeof sum}, std::as_bytes(std::span(&sum, 1))});
  const std::string header = safetensors_header(
      tensors.raw, {{"format", format::kName},
                    {"format_version", format::kVersion},
                    {"kvpress", std::string(version())},
                    {"context", format::to_json(header_of(sequence, tensors.state, origin, with_text))}});
  std::vector<std::uint64_t> hashes(tensors.raw.size() - 1);
  parallel_for(std::ssize(hashes), [&](std::int64_t i) { hashes[i] = format::hash_of(tensors.raw[i].data); });
  sum = format::checksum(header, hashes);
  std::vector<std::string_view> pieces = {header};
  for (const RawTensor& it : tensors.raw) {
    pieces.emplace_back(reinterpret_cast<const char*>(it.data.data()), it.data.size());
  }
  write_file(path, pieces);
}

struct ContextFile::Impl {
  FileReader file;
  SafetensorsHeader tensors;
  std::string header_bytes;
  format::Header header;
  std::unordered_map<std::string, const SafetensorsHeader::Tensor*> by_name;

  explicit Impl(const std::filesystem::path& path) : file(path) {}
  std::string name() const { return file.path().string(); }

  std::string text_at(std::size_t offset, std::size_t n) const {
    std::string text(n, '\0');
    file.read(offset, std::as_writable_bytes(std::span(text)));
    return text;
  }
  const SafetensorsHeader::Tensor* find(const std::string& tensor) const {
    const auto it = by_name.find(tensor);
    return it == by_name.end() ? nullptr : it->second;
  }
  /// The number of rows of a tensor, 0 if there is none.
  std::int64_t rows(const std::string& tensor) const {
    const auto* found = find(tensor);
    if (found == nullptr) return 0;
    if (found->shape.empty()) damaged(fmt::format("tensor {} has no axis", tensor));
    return found->shape.front();
  }
  [[noreturn]] void damaged(std::string_view what) const {
    fail("{}: is damaged: {}; compress the text again", name(), what);
  }

  void open();
  void measure();
  HeadExtents extents_of(std::int64_t layer, std::int64_t kv_head, std::vector<std::int32_t> channels) const;
  std::vector<std::int32_t> channels_of(std::int64_t layer, std::int64_t kv_head) const;
  std::uint64_t stored_checksum() const;
};

void ContextFile::Impl::open() {
  tensors = read_safetensors_header(name(), file.size(),
                                    [&](std::size_t offset, std::size_t n) { return text_at(offset, n); });
  const auto metadata = [&](const char* key) {
    const auto it = tensors.metadata.find(key);
    return it == tensors.metadata.end() ? std::string() : it->second;
  };
  if (metadata("format") != format::kName) {
    fail("{}: is a safetensors file, but not a compressed context; one is made by compressing a text", name());
  }
  if (metadata("format_version") != format::kVersion) {
    fail("{}: is of format version '{}', and kvpress {} reads version {}; compress the text again", name(),
         printable(metadata("format_version")), version(), format::kVersion);
  }
  header_bytes = text_at(0, tensors.n_bytes);
  for (const auto& it : tensors.tensors) by_name.emplace(it.name, &it);
  try {
    header = format::from_json(metadata("context"), name());
  } catch (const UsageError& error) {  // a press that this program does not have
    fail_usage("{}: {}", name(), error.what());
  }
  header.info.version = metadata("kvpress");
  header.info.file_bytes = file.size();
  measure();
}

void ContextFile::Impl::measure() {
  ContextInfo& info = header.info;
  std::vector<std::int64_t> entries;
  for (std::int64_t l = 0; l < info.shape.n_layers; ++l) {
    for (std::int64_t h = 0; h < info.shape.n_kv_heads; ++h) {
      entries.push_back(rows(format::part_name(l, h, "positions")));
    }
  }
  if (entries.empty()) damaged("it has no KV heads");
  double sum = 0;
  for (const std::int64_t it : entries) sum += static_cast<double>(it);
  info.mean_entries = sum / static_cast<double>(entries.size());
  info.fewest_entries = *std::min_element(entries.begin(), entries.end());
  info.most_entries = *std::max_element(entries.begin(), entries.end());
  for (const auto& it : tensors.tensors) {
    if (it.name.starts_with("layers.")) info.cache_bytes += it.end - it.begin;
  }
}

std::vector<std::int32_t> ContextFile::Impl::channels_of(std::int64_t layer, std::int64_t kv_head) const {
  const auto* tensor = find(format::part_name(layer, kv_head, format::kChannels));
  std::vector<std::int32_t> channels;
  if (tensor == nullptr) return channels;
  if (tensor->type_name != "I32" || tensor->shape.size() != 1 || tensor->shape[0] > header.info.shape.head_dim) {
    damaged(fmt::format("tensor {} is no list of channels", printable(tensor->name)));
  }
  channels.resize(static_cast<std::size_t>(tensor->shape[0]));
  file.read(tensor->begin, std::as_writable_bytes(std::span(channels)));
  return channels;
}

HeadExtents ContextFile::Impl::extents_of(std::int64_t layer, std::int64_t kv_head,
                                          std::vector<std::int32_t> channels) const {
  const auto rows_of = [&](const char* part) { return rows(format::part_name(layer, kv_head, part)); };
  HeadExtents extents{rows_of("positions"), rows_of("quantized_values"), rows_of("quantized_thin_keys"),
                      rows_of("thin_keys"), std::move(channels)};
  const std::string problem = extents.problem(header.info.shape);
  if (!problem.empty()) damaged(fmt::format("layer {}, KV head {}: {}", layer, kv_head, problem));
  return extents;
}

std::uint64_t ContextFile::Impl::stored_checksum() const {
  std::uint64_t sum = 0;
  const auto* tensor = find(format::kChecksum);
  if (tensor == nullptr || tensor != &tensors.tensors.back() || tensor->end - tensor->begin != sizeof sum) {
    damaged("its checksum is missing");
  }
  file.read(tensor->begin, std::as_writable_bytes(std::span(&sum, 1)));
  return sum;
}

bool ContextFile::is_context(const std::filesystem::path& path) {
  try {
    Impl impl(path);
    const auto read = [&](std::size_t offset, std::size_t n) { return impl.text_at(offset, n); };
    const auto header = read_safetensors_header(path.string(), impl.file.size(), read);
    const auto it = header.metadata.find("format");
    return it != header.metadata.end() && it->second == format::kName;
  } catch (const Error&) {
    return false;
  }
}

ContextFile::ContextFile(const std::filesystem::path& path) {
  auto impl = std::make_shared<Impl>(path);
  impl->open();
  impl_ = std::move(impl);
}

const ContextInfo& ContextFile::info() const { return impl_->header.info; }

std::string ContextFile::name() const { return impl_->name(); }

bool ContextFile::has_press() const { return acts(info().settings.plan(), info().decodes); }

void ContextFile::verify() const {
  const auto& tensors = impl_->tensors.tensors;
  const std::uint64_t stored = impl_->stored_checksum();
  std::vector<std::uint64_t> hashes(tensors.size() - 1);
  parallel_for(std::ssize(hashes), [&](std::int64_t i) {
    check_interrupt();
    std::vector<std::byte> block;
    format::TensorHash hash;
    for (std::size_t at = tensors[i].begin; at < tensors[i].end; at += block.size()) {
      block.resize(std::min(format::TensorHash::kBlock, tensors[i].end - at));
      impl_->file.read(at, block);
      hash.add(block);
    }
    hashes[i] = hash.value();
  });
  if (format::checksum(impl_->header_bytes, hashes) != stored) impl_->damaged("its checksum does not match");
}

void ContextFile::check_origin(const ContextOrigin& opened) const {
  const ContextOrigin& saved = info().origin;
  if (saved.weights != opened.weights) {
    fail_usage("{}: is of model '{}' (weights {}), and '{}' has others ({}); use the model that read the text",
               impl_->name(), printable(saved.model), printable(saved.weights), opened.model, opened.weights);
  }
  if (saved.tokenizer != opened.tokenizer) {
    fail_usage("{}: was read with another tokenizer ({}) than that of '{}' ({}); use the same, or compress again",
               impl_->name(), printable(saved.tokenizer), opened.model, opened.tokenizer);
  }
}

namespace {

/// Where the bytes of tensors go.
class Destinations {
 public:
  struct Item {
    const SafetensorsHeader::Tensor* tensor;
    std::span<std::byte> to;
  };

  void add(const SafetensorsHeader::Tensor* tensor, std::span<std::byte> to) {
    items_.push_back({tensor, to});
    known_.insert(tensor);
  }
  /// In the order of the file.
  const std::vector<Item>& items() {
    std::sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) { return a.tensor < b.tensor; });
    return items_;
  }
  bool knows(const SafetensorsHeader::Tensor& tensor) const { return known_.count(&tensor) > 0; }

 private:
  std::vector<Item> items_;
  std::set<const SafetensorsHeader::Tensor*> known_;
};

}  // namespace

SequenceState ContextFile::read() const {
  const Impl& from = *impl_;
  const ContextInfo& info = from.header.info;
  SequenceState state;
  state.shape = info.shape;
  state.compressor.decodes = info.decodes;
  state.compressor.active = from.header.active;
  state.compressor.n_prompt = from.header.n_prompt;
  state.compressor.n_decoded = from.header.n_decoded;
  std::uint64_t sum = 0;
  Destinations to;
  const auto take = [&](const std::string& name, std::string_view type, const std::vector<std::int64_t>& shape,
                        std::span<std::byte> out) {
    const auto* tensor = from.find(name);
    if (tensor == nullptr) from.damaged(fmt::format("tensor {} is missing", name));
    if (tensor->type_name != type || tensor->shape != shape || tensor->end - tensor->begin != out.size()) {
      from.damaged(fmt::format("tensor {} has another type or shape than it must have", name));
    }
    to.add(tensor, out);
  };
  /// A list of any length, which its rows say; absent when empty.
  const auto take_list = [&](const std::string& name, std::string_view type, auto& values, std::int64_t cols = 0) {
    const auto* tensor = from.find(name);
    if (tensor == nullptr) return;
    const std::int64_t rows = from.rows(name);
    const std::vector<std::int64_t> shape = cols > 0 ? std::vector{rows, cols} : std::vector{rows};
    values.resize((tensor->end - tensor->begin) / sizeof(values[0]));
    take(name, type, shape, std::as_writable_bytes(std::span(values)));
  };

  std::vector<std::int32_t>& tokens = state.compressor.tokens;
  if (info.has_text) {
    take_list(format::kTokens, "I32", tokens);
    if (std::ssize(tokens) != info.n_tokens) from.damaged("it has another number of tokens than it says");
  } else {
    tokens.assign(static_cast<std::size_t>(info.n_tokens), -1);
  }
  take_list(format::kLastHidden, "F32", state.last_hidden);
  take_list(format::kPrefillPress, "U8", state.compressor.prefill_press);
  take_list(format::kDecodingPress, "U8", state.compressor.decoding_press);
  // Layers without any have no tensor: the last that has one says how many there are.
  std::vector<std::vector<float>>& queries = state.compressor.recent_queries;
  for (std::int64_t l = 0; l < info.shape.n_layers; ++l) {
    const std::string name = format::recent_queries_name(l);
    const auto* tensor = from.find(name);
    if (tensor == nullptr) continue;
    if (tensor->shape.size() != 2) from.damaged(fmt::format("tensor {} has not two axes", name));
    queries.resize(static_cast<std::size_t>(l + 1));
    take_list(name, "F32", queries.back(), tensor->shape[1]);
  }
  state.heads.reserve(static_cast<std::size_t>(info.shape.n_layers * info.shape.n_kv_heads));
  std::vector<std::vector<std::int32_t>> channels(state.heads.capacity());
  for (std::int64_t l = 0; l < info.shape.n_layers; ++l) {
    for (std::int64_t h = 0; h < info.shape.n_kv_heads; ++h) {
      auto& own = channels[static_cast<std::size_t>(l * info.shape.n_kv_heads + h)] = from.channels_of(l, h);
      state.heads.emplace_back(info.shape, from.extents_of(l, h, own));
      for (const auto& it : state.heads.back().parts()) {
        if (!from.header.carries_floats && it.name.starts_with("carried.")) continue;
        const std::vector<std::int64_t> shape = it.cols > 0 ? std::vector{it.rows, it.cols} : std::vector{it.rows};
        take(format::part_name(l, h, it.name), it.type, shape, it.data);
      }
      // Read above, since the others' shapes depend on them; here once more, for the checksum.
      if (!own.empty()) take_list(format::part_name(l, h, format::kChannels), "I32", own);
    }
  }
  take(format::kChecksum, "U8", {sizeof sum}, std::as_writable_bytes(std::span(&sum, 1)));
  for (const auto& it : from.tensors.tensors) {
    if (!to.knows(it)) from.damaged(fmt::format("tensor {} is none that a context has", printable(it.name)));
  }

  const auto& items = to.items();
  std::vector<std::uint64_t> hashes(items.size());
  parallel_for(std::ssize(items), [&](std::int64_t i) {
    check_interrupt();
    format::TensorHash hash;
    for (std::size_t at = 0; at < items[i].to.size(); at += format::TensorHash::kBlock) {
      const auto block = items[i].to.subspan(at, std::min(format::TensorHash::kBlock, items[i].to.size() - at));
      from.file.read(items[i].tensor->begin + at, block);
      hash.add(block);
    }
    hashes[i] = hash.value();
  });
  hashes.pop_back();  // the checksum's own, which is last
  if (items.back().tensor->name != format::kChecksum || format::checksum(from.header_bytes, hashes) != sum) {
    from.damaged("its checksum does not match");
  }
  for (std::size_t i = 0; i < state.heads.size(); ++i) {
    const auto positions = state.heads[i].positions();
    for (std::size_t j = 0; j < positions.size(); ++j) {
      const std::int32_t before = j == 0 ? -1 : positions[j - 1];
      if (positions[j] <= before || positions[j] >= info.n_tokens) {
        from.damaged(fmt::format("the positions of KV head {} of all do not ascend within the text", i));
      }
    }
  }
  return state;
}

void ContextFile::check_model(const Model& model) const {
  if (info().numbers != model.numbers()) {
    fail_usage("{}: was made with {}, and the model is loaded with {}; choose the same by {} and {}", impl_->name(),
               printable(info().numbers), model.numbers(), setting("dtype"), setting("weights"));
  }
  if (impl_->header.turns != format::turns_of(model.config())) {
    fail_usage("{}: the model scales its positions otherwise for a text of another length; load it for {} tokens",
               impl_->name(), info().origin.n_planned);
  }
}

Sequence ContextFile::restore(const Model& model, SequenceState state) const {
  check_model(model);
  try {
    return {model, info().settings, std::move(state)};
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    impl_->damaged(error.what());
  }
}

}  // namespace kvpress
