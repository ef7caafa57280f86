// Writes GGUF files, lies included.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress::test {

class GgufBuilder {
 public:
  template <typename T>
  static void put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  static void put_text(std::string& out, std::string_view text) {
    put(out, std::uint64_t{text.size()});
    out += text;
  }

  GgufBuilder& text(std::string_view key, std::string_view value) {
    put_text(begin(key, 8), value);
    return *this;
  }
  GgufBuilder& u32(std::string_view key, std::uint32_t value) {
    put(begin(key, 4), value);
    return *this;
  }
  GgufBuilder& f32(std::string_view key, float value) { return this->value(key, 6, value); }
  GgufBuilder& flag(std::string_view key, bool value) {
    return this->value(key, 7, static_cast<std::uint8_t>(value ? 1 : 0));
  }
  /// A number under the number of its type.
  template <typename T>
  GgufBuilder& value(std::string_view key, std::uint32_t type, T value) {
    put(begin(key, type), value);
    return *this;
  }
  GgufBuilder& texts(std::string_view key, const std::vector<std::string>& values) {
    std::string& out = begin(key, 9);
    put(out, std::uint32_t{8});
    put(out, std::uint64_t{values.size()});
    for (const std::string& value : values) put_text(out, value);
    return *this;
  }
  GgufBuilder& i32s(std::string_view key, const std::vector<std::int32_t>& values) {
    std::string& out = begin(key, 9);
    put(out, std::uint32_t{5});
    put(out, std::uint64_t{values.size()});
    for (const std::int32_t value : values) put(out, value);
    return *this;
  }
  GgufBuilder& f32s(std::string_view key, const std::vector<float>& values) {
    std::string& out = begin(key, 9);
    put(out, std::uint32_t{6});
    put(out, std::uint64_t{values.size()});
    for (const float value : values) put(out, value);
    return *this;
  }
  /// Whatever bytes under the number of a type.
  GgufBuilder& raw(std::string_view key, std::uint32_t type, std::string_view bytes) {
    begin(key, type) += bytes;
    return *this;
  }
  GgufBuilder& tensor(std::string_view name, const std::vector<std::uint64_t>& dimensions, std::uint32_t type,
                      std::uint64_t offset) {
    ++n_tensors_;
    put_text(tensors_, name);
    put(tensors_, static_cast<std::uint32_t>(dimensions.size()));
    for (const std::uint64_t dimension : dimensions) put(tensors_, dimension);
    put(tensors_, type);
    put(tensors_, offset);
    return *this;
  }

  std::string build(std::size_t data_bytes = 0, std::uint32_t version = 3) const {
    std::string out = "GGUF";
    put(out, version);
    put(out, n_tensors_);
    put(out, n_values_);
    out += values_;
    out += tensors_;
    out.resize((out.size() + 31) / 32 * 32);
    out.resize(out.size() + data_bytes);
    return out;
  }

 private:
  std::string& begin(std::string_view key, std::uint32_t type) {
    ++n_values_;
    put_text(values_, key);
    put(values_, type);
    return values_;
  }

  std::string values_, tensors_;
  std::uint64_t n_values_ = 0, n_tensors_ = 0;
};

}  // namespace kvpress::test
