// The names of a GGUF that is split into several files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kvpress {

/// "NAME-00001-of-00003.gguf" is part 1 of 3 of NAME.
struct PartName {
  std::string stem;
  std::int64_t number, count;
};
std::optional<PartName> parse_part_name(const std::string& name);
std::string part_name(const std::string& stem, std::int64_t number, std::int64_t count);

/// The names of all parts if `name` is that of the first of several, in order; else none.
std::vector<std::string> gguf_parts(const std::string& name);

}  // namespace kvpress
