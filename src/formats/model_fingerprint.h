// Fingerprints of a model that do not need to read all of it.
#pragma once

#include <string>

#include "kvpress/formats/model_files.h"

namespace kvpress {

/// Sixteen hexadecimal digits, computed from the configuration, the names and sizes of the weight files, and blocks
/// distributed over them. Distinguishes training steps; not resistant to deliberate collisions.
std::string model_fingerprint(const ModelFiles& files);

/// The same of what a model computes, wherever its files are and whatever they are called: the configuration, and of
/// every tensor its name, type, shape and blocks of its bytes.
std::string weights_fingerprint(const ModelFiles& files);
/// Of what turns a text into tokens; empty if the model has no tokenizer.
std::string tokenizer_fingerprint(const ModelFiles& files);

}  // namespace kvpress
