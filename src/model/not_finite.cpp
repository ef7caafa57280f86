#include "kvpress/model/not_finite.h"

#include <utility>

namespace kvpress {
namespace {

/// A token as messages show it: without what would break the line.
std::string shown(std::string_view token) {
  std::string text;
  for (const char c : token) text += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  return text;
}

}  // namespace

NotFinite::NotFinite(std::int64_t position, std::int32_t token, std::string what, std::string remedy)
    : Error(fmt::format("token {} (id {}): {}; {}", position, token, what, remedy)),
      position_(position),
      token_(token),
      what_(std::move(what)),
      remedy_(std::move(remedy)) {}

NotFinite::NotFinite(const std::string& where, const NotFinite& other)
    : Error(fmt::format("{}: {}; {}", where, other.what_, other.remedy_)),
      position_(other.position_),
      token_(other.token_),
      what_(other.what_),
      remedy_(other.remedy_) {}

NotFinite NotFinite::in(std::string_view text, std::string_view token, std::int64_t offset) const {
  const std::string name = token.empty() ? fmt::format("id {}", token_) : fmt::format("'{}'", shown(token));
  NotFinite error(fmt::format("{}{}token {} ({})", text, text.empty() ? "" : ", ", position_ + offset, name), *this);
  error.position_ += offset;
  return error;
}

std::string remedy_for(DType type) {
  if (type == DType::f16) {
    return fmt::format("float16 holds numbers up to 65504; use {} float32 or bfloat16", setting("dtype"));
  }
  return fmt::format("weights of the model are damaged, or too large for {}{}", to_string(type),
                     type == DType::f32 ? "" : fmt::format("; try {} float32", setting("dtype")));
}

}  // namespace kvpress
