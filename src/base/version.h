// The version of the program, as CMake knows it.
#pragma once

#include <string_view>

namespace kvpress {

std::string_view version();

}  // namespace kvpress
