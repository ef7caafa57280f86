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

class Safetensors : public TensorFile {
 public:
  explicit Safetensors(std::string path) { path_ = std::move(path); }

  /// `is_wanted` says which of its tensors to take.
  void add_file(const fs::path& path, const std::function<bool(const TensorInfo&)>& is_wanted) {
    const MappedFile& file = files_.emplace_back(path);
    const std::string name = path.string();
    const auto bytes = file.bytes();
    refuse_lfs_pointer({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, name);
    std::uint64_t header_bytes = 0;
    if (bytes.size() < sizeof header_bytes) fail("{}: {} bytes are too few for a safetensors file", name, bytes.size());
    std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
    if (header_bytes > kMaxHeaderBytes || header_bytes > bytes.size() - sizeof header_bytes) {
      fail("{}: its header claims {} bytes, but the file has {}; it is truncated or not a safetensors file", name,
           header_bytes, bytes.size());
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof header_bytes, header_bytes);
    const nlohmann::json header = parse_json(text, name + ": its header");
    if (!header.is_object()) fail("{}: its header is not a JSON object", name);
    const auto data = bytes.subspan(sizeof header_bytes + header_bytes);

    std::vector<std::pair<std::int64_t, std::int64_t>> ranges;
    std::vector<TensorInfo> tensors;
    for (const auto& [key, entry] : header.items()) {
      if (key == "__metadata__") continue;
      tensors.push_back(read_entry(name, key, entry, data, ranges));
    }
    check_ranges(name, ranges, static_cast<std::int64_t>(data.size()));
    std::sort(tensors.begin(), tensors.end(),
              [](const TensorInfo& a, const TensorInfo& b) { return a.data.data() < b.data.data(); });
    for (TensorInfo& tensor : tensors) {
      if (is_wanted(tensor)) add(std::move(tensor));
    }
  }

 private:
  static TensorInfo read_entry(const std::string& path, const std::string& key, const nlohmann::json& entry,
                               std::span<const std::byte> data,
                               std::vector<std::pair<std::int64_t, std::int64_t>>& ranges) {
    const std::string name = printable(key);
    if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
        !entry["shape"].is_array() || !entry.contains("data_offsets") || !entry["data_offsets"].is_array() ||
        entry["data_offsets"].size() != 2) {
      fail("{}: tensor {}: dtype, shape and two data_offsets are needed", path, name);
    }
    TensorInfo tensor;
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
    if (begin > end || end > static_cast<std::int64_t>(data.size())) {
      fail("{}: tensor {}: offsets {} to {} are outside the {} bytes of data; the file is truncated or damaged", path,
           name, begin, end, data.size());
    }
    if (known && end - begin != size) {
      fail("{}: tensor {}: {} bytes are stored, but its shape and {} need {}", path, name, end - begin, kind->name,
           size);
    }
    tensor.data = data.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    ranges.emplace_back(begin, end);
    return tensor;
  }

  /// The format wants every byte to belong to exactly one tensor.
  static void check_ranges(const std::string& path, std::vector<std::pair<std::int64_t, std::int64_t>>& ranges,
                           std::int64_t n_bytes) {
    std::sort(ranges.begin(), ranges.end());
    std::int64_t at = 0;
    for (const auto& [begin, end] : ranges) {
      if (begin != at) fail("{}: tensors {} at byte {} of the data", path, begin < at ? "overlap" : "leave a hole", at);
      at = end;
    }
    if (at != n_bytes) fail("{}: {} bytes of data belong to no tensor", path, n_bytes - at);
  }

  std::vector<MappedFile> files_;
};

}  // namespace

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

void write_safetensors(const fs::path& path, std::span<const NamedTensor> tensors,
                       const std::vector<std::pair<std::string, std::string>>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) {
    for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  }
  std::size_t offset = 0;
  for (const NamedTensor& tensor : tensors) {
    const std::size_t end = offset + tensor.values.size() * sizeof(float);
    header[tensor.name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  // Names of files need not be UTF-8, which dump() would refuse.
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t header_bytes = text.size();
  std::string content(reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes);
  content += text;
  for (const NamedTensor& tensor : tensors) {
    content.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * sizeof(float));
  }
  write_file(path, content);
}

}  // namespace kvpress
