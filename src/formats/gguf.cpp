#include "kvpress/formats/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "base/file.h"
#include "formats/printable.h"
#include "kvpress/base/error.h"

namespace kvpress {
namespace {

enum class ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

/// Reads little-endian values one after another and never past the end.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string path) : bytes_(bytes), path_(std::move(path)) {}

  template <typename T>
  T read() {
    T value;
    std::memcpy(&value, take(sizeof(T)), sizeof(T));
    return value;
  }

  std::string text() {
    const auto length = read<std::uint64_t>();
    const std::byte* from = take(length);
    return {reinterpret_cast<const char*>(from), static_cast<std::size_t>(length)};
  }

  /// A number of things of which each takes at least `least_bytes`: more than the file could hold is a lie.
  std::uint64_t count(std::uint64_t least_bytes, std::string_view what) {
    const auto n = read<std::uint64_t>();
    if (n > left() / least_bytes) fail("{}: claims {} {}, more than fit into the file", path_, n, what);
    return n;
  }

  std::uint64_t left() const { return bytes_.size() - at_; }
  std::uint64_t position() const { return at_; }
  const std::string& path() const { return path_; }

 private:
  const std::byte* take(std::uint64_t n) {
    if (n > left())
      fail("{}: ends at byte {} in the middle of its header; it is truncated or damaged", path_, bytes_.size());
    const std::byte* from = bytes_.data() + at_;
    at_ += n;
    return from;
  }

  std::span<const std::byte> bytes_;
  std::string path_;
  std::uint64_t at_ = 0;
};

GgufValue read_scalar(Cursor& cursor, ValueType type) {
  switch (type) {
    case ValueType::u8:
      return std::int64_t{cursor.read<std::uint8_t>()};
    case ValueType::i8:
      return std::int64_t{cursor.read<std::int8_t>()};
    case ValueType::u16:
      return std::int64_t{cursor.read<std::uint16_t>()};
    case ValueType::i16:
      return std::int64_t{cursor.read<std::int16_t>()};
    case ValueType::u32:
      return std::int64_t{cursor.read<std::uint32_t>()};
    case ValueType::i32:
      return std::int64_t{cursor.read<std::int32_t>()};
    case ValueType::u64:
      return static_cast<std::int64_t>(cursor.read<std::uint64_t>());
    case ValueType::i64:
      return cursor.read<std::int64_t>();
    case ValueType::f32:
      return static_cast<double>(cursor.read<float>());
    case ValueType::f64:
      return cursor.read<double>();
    case ValueType::boolean:
      return cursor.read<std::uint8_t>() != 0;
    case ValueType::string:
      return cursor.text();
    case ValueType::array:
      break;
  }
  fail("{}: metadata of type {} is not known", cursor.path(), static_cast<std::uint32_t>(type));
}

GgufValue read_array(Cursor& cursor, const std::string& key) {
  const auto type = static_cast<ValueType>(cursor.read<std::uint32_t>());
  if (type == ValueType::array)
    fail("{}: metadata {}: arrays of arrays are not supported", cursor.path(), printable(key));
  const std::uint64_t n = cursor.count(type == ValueType::string ? 8 : 1, "array elements");
  std::vector<std::int64_t> integers;
  std::vector<double> reals;
  std::vector<std::string> strings;
  for (std::uint64_t i = 0; i < n; ++i) {
    GgufValue value = read_scalar(cursor, type);
    if (auto* text = std::get_if<std::string>(&value)) {
      strings.push_back(std::move(*text));
    } else if (const auto* real = std::get_if<double>(&value)) {
      reals.push_back(*real);
    } else if (const auto* flag = std::get_if<bool>(&value)) {
      integers.push_back(*flag ? 1 : 0);
    } else {
      integers.push_back(std::get<std::int64_t>(value));
    }
  }
  if (type == ValueType::string) return strings;
  if (type == ValueType::f32 || type == ValueType::f64) return reals;
  return integers;
}

struct Kind {
  std::uint32_t number;
  std::string_view name;
  StoredType type;
  std::uint64_t block;  // elements of a block
  std::uint64_t bytes;  // bytes of a block
};
/// ggml's numbers of its types; those without a StoredType are known well enough to name them.
constexpr Kind kKinds[] = {{0, "F32", StoredType::f32, 1, 4},        {1, "F16", StoredType::f16, 1, 2},
                           {2, "Q4_0", StoredType::q4_0, 32, 18},    {3, "Q4_1", StoredType::q4_1, 32, 20},
                           {6, "Q5_0", StoredType::q5_0, 32, 22},    {7, "Q5_1", StoredType::q5_1, 32, 24},
                           {8, "Q8_0", StoredType::q8_0, 32, 34},    {10, "Q2_K", StoredType::q2_k, 256, 84},
                           {11, "Q3_K", StoredType::q3_k, 256, 110}, {12, "Q4_K", StoredType::q4_k, 256, 144},
                           {13, "Q5_K", StoredType::q5_k, 256, 176}, {14, "Q6_K", StoredType::q6_k, 256, 210},
                           {24, "I8", StoredType::other, 1, 1},      {25, "I16", StoredType::other, 1, 2},
                           {26, "I32", StoredType::other, 1, 4},     {27, "I64", StoredType::other, 1, 8},
                           {28, "F64", StoredType::other, 1, 8},     {30, "BF16", StoredType::bf16, 1, 2}};

}  // namespace

struct GgufFile::Impl {
  MappedFile file;
};

GgufFile::~GgufFile() = default;

GgufFile::GgufFile(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(Impl{MappedFile(path)})) {
  static_assert(std::endian::native == std::endian::little, "GGUF files are read in place");
  path_ = path.string();
  const auto bytes = impl_->file.bytes();
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) fail("{}: is not a GGUF file", path_);
  Cursor cursor(bytes, path_);
  cursor.read<std::uint32_t>();
  const auto version = cursor.read<std::uint32_t>();
  if (version == 0x02000000 || version == 0x03000000) {
    fail("{}: is a big-endian GGUF; only little-endian ones are supported", path_);
  }
  if (version != 2 && version != 3) fail("{}: GGUF version {} is not supported; versions 2 and 3 are", path_, version);
  const std::uint64_t n_tensors = cursor.count(24, "tensors");
  const std::uint64_t n_values = cursor.count(12, "metadata values");

  for (std::uint64_t i = 0; i < n_values; ++i) {
    std::string key = cursor.text();
    const auto type = static_cast<ValueType>(cursor.read<std::uint32_t>());
    GgufValue value = type == ValueType::array ? read_array(cursor, key) : read_scalar(cursor, type);
    if (!metadata_.emplace(key, std::move(value)).second) fail("{}: metadata {} appears twice", path_, printable(key));
  }
  std::int64_t alignment = 32;
  if (const auto* stated = get<std::int64_t>("general.alignment")) alignment = *stated;
  if (alignment < 1 || alignment > (1 << 20) || (alignment & (alignment - 1)) != 0) {
    fail("{}: general.alignment is {}; it must be a power of two", path_, alignment);
  }

  struct Entry {
    TensorInfo tensor;
    std::uint64_t offset, n_bytes;
  };
  std::vector<Entry> entries;
  for (std::uint64_t i = 0; i < n_tensors; ++i) {
    Entry entry{};
    entry.tensor.name = cursor.text();
    const std::string name = printable(entry.tensor.name);
    const auto n_dimensions = cursor.read<std::uint32_t>();
    if (n_dimensions > 8) fail("{}: tensor {} claims {} dimensions", path_, name, n_dimensions);
    std::int64_t n_elements = 1;
    std::uint64_t innermost = 1;
    for (std::uint32_t dimension = 0; dimension < n_dimensions; ++dimension) {
      const auto extent = cursor.read<std::uint64_t>();
      if (dimension == 0) innermost = extent;
      if (extent > std::numeric_limits<std::int64_t>::max() ||
          __builtin_mul_overflow(n_elements, static_cast<std::int64_t>(extent), &n_elements)) {
        fail("{}: tensor {}: its shape overflows", path_, name);
      }
      entry.tensor.shape.insert(entry.tensor.shape.begin(), static_cast<std::int64_t>(extent));
    }
    const auto number = cursor.read<std::uint32_t>();
    const Kind* kind =
        std::find_if(std::begin(kKinds), std::end(kKinds), [&](const Kind& it) { return it.number == number; });
    entry.offset = cursor.read<std::uint64_t>();
    if (kind == std::end(kKinds)) {
      entry.tensor.type_name = fmt::format("type {}", number);
    } else {
      entry.tensor.type = kind->type;
      entry.tensor.type_name = kind->name;
      if (innermost % kind->block != 0) {
        fail("{}: tensor {}: rows of {} elements do not fill {} blocks of {}", path_, name, innermost, kind->name,
             kind->block);
      }
      if (__builtin_mul_overflow(static_cast<std::uint64_t>(n_elements) / kind->block, kind->bytes, &entry.n_bytes)) {
        fail("{}: tensor {}: its shape overflows", path_, name);
      }
    }
    entries.push_back(std::move(entry));
  }

  const auto step = static_cast<std::uint64_t>(alignment);
  const std::uint64_t data_at = std::min<std::uint64_t>((cursor.position() + step - 1) / step * step, bytes.size());
  const auto data = bytes.subspan(data_at);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (Entry& entry : entries) {
    if (entry.offset > data.size() || entry.n_bytes > data.size() - entry.offset) {
      fail("{}: tensor {}: bytes {} to {} are outside the {} bytes of data; the file is truncated or damaged", path_,
           printable(entry.tensor.name), entry.offset, entry.offset + entry.n_bytes, data.size());
    }
    if (entry.offset % step != 0)
      fail("{}: tensor {}: offset {} is not a multiple of {}", path_, printable(entry.tensor.name), entry.offset, step);
    entry.tensor.data = data.subspan(entry.offset, entry.n_bytes);
    ranges.emplace_back(entry.offset, entry.offset + entry.n_bytes);
    add(std::move(entry.tensor));
  }
  std::sort(ranges.begin(), ranges.end());
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first < ranges[i - 1].second)
      fail("{}: tensors overlap at byte {} of the data", path_, ranges[i].first);
  }
}

}  // namespace kvpress
