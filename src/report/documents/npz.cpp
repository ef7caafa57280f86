#include "report/documents/npz.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>
#include <stdexcept>

#include "kvpress/base/error.h"
#include "tokenizer/unicode.h"

namespace kvpress {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are written as they are in memory");

/// Little-endian, as zip has it.
void put(std::string& to, std::uint64_t value, int n_bytes) {
  for (int i = 0; i < n_bytes; ++i) to += static_cast<char>(value >> (8 * i) & 0xff);
}

std::string header(std::string_view type, const std::vector<std::size_t>& shape) {
  std::string dimensions;
  for (const std::size_t it : shape) dimensions += fmt::format("{},", it);
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", type, dimensions);
  // What follows begins at a multiple of 64 bytes.
  constexpr std::size_t kBefore = 10;
  text.append(63 - (kBefore + text.size()) % 64, ' ');
  text += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  put(bytes, text.size(), 2);
  return bytes + text;
}

/// The parts that a local header and the central directory share.
std::string common_fields(std::string_view content, std::size_t name_size) {
  constexpr std::uint32_t kDate1980 = 1 << 5 | 1;  // the same content gives the same file
  std::string bytes;
  put(bytes, 20, 2);       // version 2.0
  put(bytes, 1 << 11, 2);  // names in UTF-8
  put(bytes, 0, 2);        // stored
  put(bytes, 0, 2);
  put(bytes, kDate1980, 2);
  const auto* data = reinterpret_cast<const Bytef*>(content.data());
  put(bytes, ::crc32_z(::crc32_z(0, nullptr, 0), data, content.size()), 4);
  put(bytes, content.size(), 4);
  put(bytes, content.size(), 4);
  put(bytes, name_size, 2);
  put(bytes, 0, 2);  // no more fields
  return bytes;
}

template <typename T>
std::string_view bytes_of(std::span<const T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

/// Code points of UTF-8.
std::u32string code_points(const std::string& text) {
  std::string storage;
  const std::string_view valid = to_valid_utf8(text, storage);
  std::u32string points;
  for (std::size_t i = 0; i < valid.size();) {
    const auto lead = static_cast<unsigned char>(valid[i]);
    const int n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    char32_t point = n == 1 ? lead : lead & (0x7f >> n);
    for (int k = 1; k < n; ++k)
      point = point << 6 | (static_cast<unsigned char>(valid[i + static_cast<std::size_t>(k)]) & 0x3f);
    points += point;
    i += static_cast<std::size_t>(n);
  }
  return points;
}

}  // namespace

void NpzWriter::add_bytes(std::string_view name, std::string_view type, std::string_view bytes,
                          const std::vector<std::size_t>& shape) {
  Entry entry{std::string(name) + ".npy", header(type, shape)};
  entry.content += bytes;
  entries_.push_back(std::move(entry));
}

void NpzWriter::add(std::string_view name, std::span<const float> values, const std::vector<std::size_t>& shape) {
  add_bytes(name, "<f4", bytes_of(values), shape);
}
void NpzWriter::add(std::string_view name, std::span<const std::int32_t> values,
                    const std::vector<std::size_t>& shape) {
  add_bytes(name, "<i4", bytes_of(values), shape);
}
void NpzWriter::add(std::string_view name, std::span<const std::int64_t> values,
                    const std::vector<std::size_t>& shape) {
  add_bytes(name, "<i8", bytes_of(values), shape);
}

void NpzWriter::add(std::string_view name, const std::vector<std::string>& texts) {
  std::vector<std::u32string> rows;
  std::size_t width = 1;
  for (const std::string& it : texts) {
    rows.push_back(code_points(it));
    width = std::max(width, rows.back().size());
  }
  std::u32string all;
  for (std::u32string& it : rows) {
    it.resize(width, U'\0');
    all += it;
  }
  add_bytes(name, fmt::format("<U{}", width),
            {reinterpret_cast<const char*>(all.data()), all.size() * sizeof(char32_t)}, {texts.size()});
}

std::string NpzWriter::finish() const {
  std::string file;
  std::string directory;
  std::size_t total = 0;
  for (const Entry& it : entries_) total += it.content.size() + 2 * it.name.size() + 128;
  if (total >= std::size_t{0xffffffff}) fail("the arrays have {} bytes; an .npz file holds less than 4 GiB", total);
  for (const Entry& it : entries_) {
    const std::string fields = common_fields(it.content, it.name.size());
    directory += std::string("PK\x01\x02", 4);
    put(directory, 20, 2);
    directory += fields;
    put(directory, 0, 2);  // no comment
    put(directory, 0, 2);  // on the first disk
    put(directory, 0, 2);
    put(directory, 0, 4);
    put(directory, file.size(), 4);
    directory += it.name;
    file += std::string("PK\x03\x04", 4) + fields + it.name + it.content;
  }
  const std::size_t directory_at = file.size();
  file += directory;
  file += std::string("PK\x05\x06", 4);
  put(file, 0, 4);
  put(file, entries_.size(), 2);
  put(file, entries_.size(), 2);
  put(file, directory.size(), 4);
  put(file, directory_at, 4);
  put(file, 0, 2);
  return file;
}

}  // namespace kvpress
