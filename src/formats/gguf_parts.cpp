#include "formats/gguf_parts.h"

#include <fmt/format.h>

#include <string_view>

namespace kvpress {

std::optional<PartName> parse_part_name(const std::string& name) {
  static constexpr std::string_view kEnd = ".gguf";
  static constexpr std::size_t kTail = std::string_view("-00001-of-00003.gguf").size();
  if (name.size() <= kTail || !name.ends_with(kEnd)) return std::nullopt;
  const std::string tail = name.substr(name.size() - kTail);
  const auto number_at = [&](std::size_t at) {
    std::int64_t number = 0;
    for (const char c : tail.substr(at, 5)) {
      if (c < '0' || c > '9') return std::int64_t{-1};
      number = number * 10 + (c - '0');
    }
    return number;
  };
  const PartName part{name.substr(0, name.size() - kTail), number_at(1), number_at(10)};
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || part.number < 1 || part.count < 1) return std::nullopt;
  return part;
}

std::string part_name(const std::string& stem, std::int64_t number, std::int64_t count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, number, count);
}

std::vector<std::string> gguf_parts(const std::string& name) {
  std::vector<std::string> parts;
  const auto first = parse_part_name(name);
  if (!first || first->number != 1 || first->count < 2) return parts;
  for (std::int64_t i = 1; i <= first->count; ++i) parts.push_back(part_name(first->stem, i, first->count));
  return parts;
}

}  // namespace kvpress
