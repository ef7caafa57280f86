#include "kvpress/formats/gguf.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "formats/gguf_parts.h"
#include "formats/lfs_pointer.h"
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
    case ValueType::u64: {
      const auto value = cursor.read<std::uint64_t>();
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return static_cast<double>(value);
      }
      return static_cast<std::int64_t>(value);
    }
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
  if (!reals.empty() && !integers.empty()) {
    fail("{}: metadata {}: whole numbers beyond 2^63 are not supported", cursor.path(), printable(key));
  }
  if (type == ValueType::f32 || type == ValueType::f64 || !reals.empty()) return reals;
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
constexpr Kind kKinds[] = {{0, "F32", StoredType::f32, 1, 4},           {1, "F16", StoredType::f16, 1, 2},
                           {2, "Q4_0", StoredType::q4_0, 32, 18},       {3, "Q4_1", StoredType::q4_1, 32, 20},
                           {6, "Q5_0", StoredType::q5_0, 32, 22},       {7, "Q5_1", StoredType::q5_1, 32, 24},
                           {8, "Q8_0", StoredType::q8_0, 32, 34},       {9, "Q8_1", StoredType::other, 32, 36},
                           {10, "Q2_K", StoredType::q2_k, 256, 84},     {11, "Q3_K", StoredType::q3_k, 256, 110},
                           {12, "Q4_K", StoredType::q4_k, 256, 144},    {13, "Q5_K", StoredType::q5_k, 256, 176},
                           {14, "Q6_K", StoredType::q6_k, 256, 210},    {15, "Q8_K", StoredType::q8_k, 256, 292},
                           {16, "IQ2_XXS", StoredType::other, 256, 66}, {17, "IQ2_XS", StoredType::other, 256, 74},
                           {18, "IQ3_XXS", StoredType::other, 256, 98}, {19, "IQ1_S", StoredType::other, 256, 50},
                           {20, "IQ4_NL", StoredType::iq4_nl, 32, 18},  {21, "IQ3_S", StoredType::other, 256, 110},
                           {22, "IQ2_S", StoredType::other, 256, 82},   {23, "IQ4_XS", StoredType::iq4_xs, 256, 136},
                           {24, "I8", StoredType::other, 1, 1},         {25, "I16", StoredType::other, 1, 2},
                           {26, "I32", StoredType::other, 1, 4},        {27, "I64", StoredType::other, 1, 8},
                           {28, "F64", StoredType::other, 1, 8},        {29, "IQ1_M", StoredType::other, 256, 56},
                           {30, "BF16", StoredType::bf16, 1, 2},        {34, "TQ1_0", StoredType::tq1_0, 256, 54},
                           {35, "TQ2_0", StoredType::tq2_0, 256, 66},   {39, "MXFP4", StoredType::mxfp4, 32, 17}};

/// What a value is called in messages.
std::string_view kind_of(const GgufValue& value) {
  constexpr std::string_view kWords[] = {
      "true or false",       "a whole number",     "a number", "a string", "an array of whole numbers",
      "an array of numbers", "an array of strings"};
  static_assert(std::size(kWords) == std::variant_size_v<GgufValue>);
  return kWords[value.index()];
}

/// The whole number that a value is; empty if it is none.
std::optional<std::int64_t> whole_of(const GgufValue& value) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? 1 : 0;
  const auto* real = std::get_if<double>(&value);
  constexpr double kEnd = 9223372036854775808.0;  // 2^63
  if (real == nullptr || !(*real >= -kEnd && *real < kEnd) || *real != std::floor(*real)) return std::nullopt;
  return static_cast<std::int64_t>(*real);
}

using Metadata = std::unordered_map<std::string, GgufValue>;

Metadata read_metadata(Cursor& cursor, std::uint64_t n_values) {
  Metadata metadata;
  for (std::uint64_t i = 0; i < n_values; ++i) {
    std::string key = cursor.text();
    const auto type = static_cast<ValueType>(cursor.read<std::uint32_t>());
    GgufValue value = type == ValueType::array ? read_array(cursor, key) : read_scalar(cursor, type);
    if (!metadata.emplace(key, std::move(value)).second) {
      fail("{}: metadata {} appears twice", cursor.path(), printable(key));
    }
  }
  return metadata;
}

}  // namespace

struct GgufFile::Impl {
  std::vector<MappedFile> parts;
};

GgufFile::~GgufFile() = default;

const GgufValue* GgufFile::find_value(std::string_view key) const {
  const auto it = metadata_.find(std::string(key));
  return it == metadata_.end() ? nullptr : &it->second;
}

void GgufFile::refuse_type(std::string_view key, const GgufValue& wanted) const {
  fail("{}: metadata {} is {}, but must be {}", path_, printable(key), kind_of(*find_value(key)), kind_of(wanted));
}

std::optional<std::int64_t> GgufFile::integer(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return std::nullopt;
  if (const auto whole = whole_of(*value)) return whole;
  refuse_type(key, std::int64_t{0});
}

std::optional<double> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* real = std::get_if<double>(value)) return *real;
  if (const auto whole = whole_of(*value)) return static_cast<double>(*whole);
  refuse_type(key, 0.0);
}

std::optional<bool> GgufFile::flag(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return std::nullopt;
  const auto whole = whole_of(*value);
  if (whole == 0 || whole == 1) return whole == 1;
  refuse_type(key, true);
}

std::optional<std::vector<std::int64_t>> GgufFile::integers(std::string_view key) const {
  const GgufValue* value = find_value(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* integers = std::get_if<std::vector<std::int64_t>>(value)) return *integers;
  if (const auto whole = whole_of(*value)) return std::vector<std::int64_t>{*whole};
  std::vector<std::int64_t> converted;
  const auto* reals = std::get_if<std::vector<double>>(value);
  for (const double real : reals == nullptr ? std::vector<double>{} : *reals) {
    if (const auto whole = whole_of(real)) converted.push_back(*whole);
  }
  if (reals != nullptr && converted.size() == reals->size()) return converted;
  refuse_type(key, std::vector<std::int64_t>{});
}

GgufFile::GgufFile(const std::filesystem::path& path) : impl_(std::make_unique<Impl>()) {
  path_ = path.string();
  add_part(path, true);
  if (integer("split.count").value_or(1) > 1) add_other_parts(path);
}

void GgufFile::add_other_parts(const std::filesystem::path& path) {
  const std::int64_t count = *integer("split.count");
  const std::int64_t number = integer("split.no").value_or(0) + 1;
  const auto name = parse_part_name(path.filename().string());
  const std::string first = name ? part_name(name->stem, 1, name->count) : "";
  if (number != 1) {
    fail("{}: is part {} of {} of a model; give the first{}{}", path_, number, count, name ? ": " : "", first);
  }
  if (!name || name->number != 1 || name->count != count) {
    fail("{}: is part 1 of {} of a model; its name must end in -00001-of-{:05}.gguf, as those of the others", path_,
         count, count);
  }
  for (std::int64_t i = 2; i <= count; ++i) {
    const std::filesystem::path part = path.parent_path() / part_name(name->stem, i, count);
    std::error_code error;
    if (!std::filesystem::exists(part, error)) {
      fail("{}: is part 1 of {} of a model, but part {} is missing: {}", path_, count, i, part.string());
    }
    add_part(part, false);
  }
  if (const auto n_tensors = integer("split.tensors.count"); n_tensors && *n_tensors != std::ssize(tensors_)) {
    fail("{}: the model has {} tensors, but its {} parts hold {}", path_, *n_tensors, count, tensors_.size());
  }
}

void GgufFile::add_part(const std::filesystem::path& path, bool is_first) {
  static_assert(std::endian::native == std::endian::little, "GGUF files are read in place");
  const std::string file = path.string();
  files_.push_back(path);
  const auto bytes = impl_->parts.emplace_back(path).bytes();
  refuse_lfs_pointer({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file);
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) fail("{}: is not a GGUF file", file);
  Cursor cursor(bytes, file);
  cursor.read<std::uint32_t>();
  const auto version = cursor.read<std::uint32_t>();
  if (version == 0x02000000 || version == 0x03000000) {
    fail("{}: is a big-endian GGUF; only little-endian ones are supported", file);
  }
  if (version != 2 && version != 3) fail("{}: GGUF version {} is not supported; versions 2 and 3 are", file, version);
  const std::uint64_t n_tensors = cursor.count(24, "tensors");
  const std::uint64_t n_values = cursor.count(12, "metadata values");

  Metadata metadata = read_metadata(cursor, n_values);
  std::int64_t alignment = 32;
  if (const auto it = metadata.find("general.alignment"); it != metadata.end()) {
    alignment = whole_of(it->second).value_or(0);
  }
  if (is_first) metadata_ = std::move(metadata);
  if (alignment < 1 || alignment > (1 << 20) || (alignment & (alignment - 1)) != 0) {
    fail("{}: general.alignment is {}; it must be a power of two", file, alignment);
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
    if (n_dimensions > 8) fail("{}: tensor {} claims {} dimensions", file, name, n_dimensions);
    std::uint64_t innermost = 1;
    for (std::uint32_t dimension = 0; dimension < n_dimensions; ++dimension) {
      const auto extent = cursor.read<std::uint64_t>();
      if (dimension == 0) innermost = extent;
      if (extent > std::numeric_limits<std::int64_t>::max()) fail("{}: tensor {}: its shape overflows", file, name);
      entry.tensor.shape.insert(entry.tensor.shape.begin(), static_cast<std::int64_t>(extent));
    }
    const std::optional<std::int64_t> n_elements = checked_elements(entry.tensor.shape);
    if (!n_elements) fail("{}: tensor {}: its shape overflows", file, name);
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
        fail("{}: tensor {}: rows of {} elements do not fill {} blocks of {}", file, name, innermost, kind->name,
             kind->block);
      }
      if (__builtin_mul_overflow(static_cast<std::uint64_t>(*n_elements) / kind->block, kind->bytes, &entry.n_bytes)) {
        fail("{}: tensor {}: its shape overflows", file, name);
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
      fail("{}: tensor {}: bytes {} to {} are outside the {} bytes of data; the file is truncated or damaged", file,
           printable(entry.tensor.name), entry.offset, entry.offset + entry.n_bytes, data.size());
    }
    if (entry.offset % step != 0)
      fail("{}: tensor {}: offset {} is not a multiple of {}", file, printable(entry.tensor.name), entry.offset, step);
    entry.tensor.data = data.subspan(entry.offset, entry.n_bytes);
    ranges.emplace_back(entry.offset, entry.offset + entry.n_bytes);
    add(std::move(entry.tensor));
  }
  std::sort(ranges.begin(), ranges.end());
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first < ranges[i - 1].second)
      fail("{}: tensors overlap at byte {} of the data", file, ranges[i].first);
  }
}

}  // namespace kvpress
