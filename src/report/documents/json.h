// JSON whose keys keep their order.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace kvpress {

using Json = nlohmann::ordered_json;

/// The document as text, on one line or with an indent. Names of files need not be UTF-8: what is not becomes U+FFFD,
/// where dump() would throw at the end of a run.
inline std::string json_text(const Json& value, int indent = -1) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace kvpress
