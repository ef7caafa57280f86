#include "formats/safetensors.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <system_error>

#include "base/file.h"
#include "base/json_text.h"
#include "formats/lfs_pointer.h"
#include "formats/printable.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

namespace fs = std::filesystem;

/// The format's own limit on a header.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

struct Kind {
  std::string_view name;
  StoredType type;
  std::int64_t bytes;
};
constexpr Kind kKinds[] = {
    {"F32", StoredType::f32, 4},    {"F16", StoredType::f16, 2},         {"BF16", StoredType::bf16, 2},
    {"F64", StoredType::other, 8},  {"I64", StoredType::other, 8},       {"U64", StoredType::other, 8},
    {"I32", StoredType::other, 4},  {"U32", StoredType::other, 4},       {"I16", StoredType::other, 2},
    {"U16", StoredType::other, 2},  {"I8", StoredType::other, 1},        {"U8", StoredType::other, 1},
    {"BOOL", StoredType::other, 1}, {"F8_E4M3", StoredType::f8_e4m3, 1}, {"F8_E5M2", StoredType::f8_e5m2, 1}};

std::int64_t whole(const nlohmann::json& value, const std::string& path, const std::string& name) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) {
    fail("{}: tensor {}: its shape and data_offsets must be whole numbers from 0 to 2^63 - 1", path, name);
  }
  return value.get<std::int64_t>();
}

SafetensorsHeader::Tensor read_entry(const std::string& path, const std::string& key, const nlohmann::json& entry,
                                     std::int64_t data_bytes) {
  const std::string name = printable(key);
  if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
      !entry["shape"].is_array() || !entry.contains("data_offsets") || !entry["data_offsets"].is_array() ||
      entry["data_offsets"].size() != 2) {
    fail("{}: tensor {}: dtype, shape and two data_offsets are needed", path, name);
  }
  SafetensorsHeader::Tensor tensor;
  tensor.name = key;
  tensor.type_name = entry["dtype"].get<std::string>();
  const Kind* kind =
      std::find_if(std::begin(kKinds), std::end(kKinds), [&](const Kind& it) { return it.name == tensor.type_name; });
  const bool known = kind != std::end(kKinds);
  tensor.type = known ? kind->type : StoredType::other;
  for (const auto& extent : entry["shape"]) tensor.shape.push_back(whole(extent, path, name));
  const std::optional<std::int64_t> n_elements = checked_elements(tensor.shape);
  std::int64_t size = 0;
  if (!n_elements || __builtin_mul_overflow(*n_elements, known ? kind->bytes : 1, &size)) {
    fail("{}: tensor {}: its shape overflows", path, name);
  }
  const std::int64_t begin = whole(entry["data_offsets"][0], path, name);
  const std::int64_t end = whole(entry["data_offsets"][1], path, name);
  if (begin > end || end > data_bytes) {
    fail("{}: tensor {}: offsets {} to {} are outside the {} bytes of data; the file is truncated or damaged", path,
         name, begin, end, data_bytes);
  }
  if (known && end - begin != size) {
    fail("{}: tensor {}: {} bytes are stored, but its shape and {} need {}", path, name, end - begin, kind->name, size);
  }
  tensor.begin = static_cast<std::size_t>(begin);
  tensor.end = static_cast<std::size_t>(end);
  return tensor;
}

/// The format wants every byte to belong to exactly one tensor.
void check_ranges(const std::string& path, const std::vector<SafetensorsHeader::Tensor>& tensors, std::size_t n_bytes) {
  std::size_t at = 0;
  for (const SafetensorsHeader::Tensor& it : tensors) {
    if (it.begin != at) {
      fail("{}: tensors {} at byte {} of the data", path, it.begin < at ? "overlap" : "leave a hole", at);
    }
    at = it.end;
  }
  if (at != n_bytes) fail("{}: {} bytes of data belong to no tensor", path, n_bytes - at);
}

class Safetensors : public TensorFile {
 public:
  explicit Safetensors(std::string path) { path_ = std::move(path); }

  /// `is_wanted` says which of its tensors to take.
  void add_file(const fs::path& path, const std::function<bool(const TensorInfo&)>& is_wanted) {
    const MappedFile& file = files_.emplace_back(path);
    const auto bytes = file.bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    refuse_lfs_pointer(text, path.string());
    const SafetensorsHeader header =
        read_safetensors_header(path.string(), bytes.size(),
                                [&](std::size_t offset, std::size_t n) { return std::string(text.substr(offset, n)); });
    for (const SafetensorsHeader::Tensor& it : header.tensors) {
      TensorInfo tensor{it.name, it.type, it.type_name, it.shape, bytes.subspan(it.begin, it.end - it.begin)};
      if (is_wanted(tensor)) add(std::move(tensor));
    }
  }

 private:
  std::vector<MappedFile> files_;
};

}  // namespace

const SafetensorsHeader::Tensor* SafetensorsHeader::find(std::string_view name) const {
  const auto it =
      std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& tensor) { return tensor.name == name; });
  return it == tensors.end() ? nullptr : &*it;
}

SafetensorsHeader read_safetensors_header(const std::string& path, std::size_t file_bytes,
                                          const std::function<std::string(std::size_t, std::size_t)>& read) {
  std::uint64_t header_bytes = 0;
  if (file_bytes < sizeof header_bytes) fail("{}: {} bytes are too few for a safetensors file", path, file_bytes);
  std::memcpy(&header_bytes, read(0, sizeof header_bytes).data(), sizeof header_bytes);
  if (header_bytes > kMaxHeaderBytes || header_bytes > file_bytes - sizeof header_bytes) {
    fail("{}: its header claims {} bytes, but the file has {}; it is truncated or not a safetensors file", path,
         header_bytes, file_bytes);
  }
  const nlohmann::json json = parse_json(read(sizeof header_bytes, header_bytes), path + ": its header");
  if (!json.is_object()) fail("{}: its header is not a JSON object", path);
  SafetensorsHeader header;
  header.n_bytes = sizeof header_bytes + header_bytes;
  const std::size_t data_bytes = file_bytes - header.n_bytes;
  for (const auto& [key, entry] : json.items()) {
    if (key != "__metadata__") {
      header.tensors.push_back(read_entry(path, key, entry, static_cast<std::int64_t>(data_bytes)));
      continue;
    }
    if (!entry.is_object()) continue;
    for (const auto& [name, value] : entry.items()) {
      if (value.is_string()) header.metadata[name] = value.get<std::string>();
    }
  }
  // Of an empty tensor and one that begins where it stands, the empty one comes first.
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  check_ranges(path, header.tensors, data_bytes);
  for (SafetensorsHeader::Tensor& it : header.tensors) {
    it.begin += header.n_bytes;
    it.end += header.n_bytes;
  }
  return header;
}

std::unique_ptr<TensorFile> open_safetensors(const fs::path& path) {
  fs::path single = path;
  fs::path index;
  std::error_code error;
  if (fs::is_directory(path, error)) {
    single = path / "model.safetensors";
    if (!fs::exists(single, error)) index = path / "model.safetensors.index.json";
    if (!index.empty() && !fs::exists(index, error)) {
      fail(
          "{}: contains neither model.safetensors nor model.safetensors.index.json; convert other weight formats to "
          "safetensors",
          path.string());
    }
  } else if (path.filename().string().ends_with(".index.json")) {
    index = path;
  }
  auto file = std::make_unique<Safetensors>(path.string());
  if (index.empty()) {
    file->add_file(single, [](const TensorInfo&) { return true; });
    return file;
  }
  const std::string text = read_file(index);
  refuse_lfs_pointer(text, index.string());
  const nlohmann::json json = parse_json(text, index.string());
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    fail("{}: weight_map is missing", index.string());
  }
  std::set<std::string> shards;
  for (const auto& [name, shard] : json["weight_map"].items()) {
    if (!shard.is_string()) fail("{}: the shard of tensor {} is not a file name", index.string(), printable(name));
    const fs::path shard_path = shard.get<std::string>();
    if (shard_path.has_parent_path())
      fail("{}: shard {} is not a plain file name", index.string(), printable(shard_path.string()));
    shards.insert(shard_path.string());
  }
  // The index says where a tensor is that stands in several shards; those that it does not name are taken as they come.
  const nlohmann::json& map = json["weight_map"];
  std::map<std::string, TensorInfo> refused;
  for (const std::string& shard : shards) {
    file->add_file(index.parent_path() / shard, [&](const TensorInfo& tensor) {
      const auto stated = map.find(tensor.name);
      if (stated == map.end() || *stated == shard) return true;
      refused.emplace(tensor.name, tensor);
      return false;
    });
  }
  for (const auto& [name, shard] : map.items()) {
    const TensorInfo* taken = file->find(name);
    const auto other = refused.find(name);
    if (taken == nullptr) {
      fail("{}: tensor {} is not in {}{}", index.string(), printable(name), printable(shard.get<std::string>()),
           other == refused.end() ? "" : ", but in another shard");
    }
    // transformers takes that of the last shard: with other values there, results would differ from its.
    if (other != refused.end() &&
        !std::equal(taken->data.begin(), taken->data.end(), other->second.data.begin(), other->second.data.end())) {
      fail("{}: tensor {} stands in several shards, with different values", index.string(), printable(name));
    }
  }
  return file;
}

std::string safetensors_header(std::span<const RawTensor> tensors,
                               const std::vector<std::pair<std::string, std::string>>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  std::size_t offset = 0;
  for (const RawTensor& tensor : tensors) {
    const std::size_t end = offset + tensor.data.size();
    header[tensor.name] = {{"dtype", tensor.type_name}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  // Names of files need not be UTF-8, which dump() would refuse.
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  constexpr std::size_t kAligned = 64;
  std::uint64_t header_bytes = text.size();
  header_bytes = (sizeof header_bytes + header_bytes + kAligned - 1) / kAligned * kAligned - sizeof header_bytes;
  text.resize(header_bytes, ' ');
  return std::string(reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes) + text;
}

void write_safetensors(const fs::path& path, std::span<const NamedTensor> tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata) {
  std::vector<RawTensor> raw;
  raw.reserve(tensors.size());
  for (const NamedTensor& it : tensors) raw.push_back({it.name, "F32", it.shape, std::as_bytes(std::span(it.values))});
  const std::string header = safetensors_header(raw, metadata);
  std::vector<std::string_view> pieces = {header};
  for (const RawTensor& it : raw) pieces.emplace_back(reinterpret_cast<const char*>(it.data.data()), it.data.size());
  write_file(path, pieces);
}

}  // namespace kvpress
