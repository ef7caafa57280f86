// The version of kvpress, from CMake.
#pragma once

#include <string_view>

namespace kvpress {

std::string_view version();

}  // namespace kvpress
