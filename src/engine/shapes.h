// Configurations by the names of published models, to measure and test with random weights.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kvpress/model/config.h"

namespace kvpress {

std::vector<std::string_view> shape_names();
/// Throws UsageError listing the known ones.
ModelConfig named_shape(const std::string& name);

}  // namespace kvpress
