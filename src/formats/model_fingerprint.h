// A fingerprint of a model that does not need to read all of it.
#pragma once

#include <string>

#include "kvpress/formats/model_files.h"

namespace kvpress {

/// Sixteen hexadecimal digits, computed from the configuration, the names and sizes of the weight files, and blocks
/// distributed over them. Distinguishes training steps; not resistant to deliberate collisions.
std::string model_fingerprint(const ModelFiles& files);

}  // namespace kvpress
