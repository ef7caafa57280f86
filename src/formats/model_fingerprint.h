// Whether a model is the same one as before, without reading all of it.
#pragma once

#include <string>

#include "kvpress/formats/model_files.h"

namespace kvpress {

/// Sixteen hexadecimal digits, made of the configuration, the names and sizes of the weight files, and blocks spread
/// over them. Tells one training step from the next; not made against anyone who means to deceive.
std::string model_fingerprint(const ModelFiles& files);

}  // namespace kvpress
