// The version of kvpress, from CMake.
#pragma once

#include <string_view>

namespace kvpress {

std::string_view version();
/// The commit that was built, shortened, with a + for uncommitted changes; "unknown" outside of a git checkout.
std::string_view commit();
/// "gcc 12.2.0", "clang 14.0.6"
std::string_view compiler();

}  // namespace kvpress
