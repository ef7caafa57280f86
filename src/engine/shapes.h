// Configurations by the names of published models, to measure and test with random weights.
#pragma once

#include <string>

#include "kvpress/model/config.h"

namespace kvpress {

/// "pythia-70m", "pythia-160m" or "smollm2-135m". Throws UsageError listing the known ones.
ModelConfig named_shape(const std::string& name);

}  // namespace kvpress
