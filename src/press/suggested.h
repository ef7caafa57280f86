// One press per method with its default parameters: the presses of `kvpress compare --presses all`.
#pragma once

#include <string>
#include <vector>

namespace kvpress {

/// The presses in the notation of parse_press(). Includes presses with trained parts; Press::prepare() throws if their
/// files are missing.
std::vector<std::string> suggested_presses();

}  // namespace kvpress
