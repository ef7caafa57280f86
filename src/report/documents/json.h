// JSON whose keys keep their order.
#pragma once

#include <nlohmann/json.hpp>

namespace kvpress {

using Json = nlohmann::ordered_json;

}  // namespace kvpress
