// The data sets that ship with the program.
#pragma once

#include <string_view>

namespace kvpress {

/// Whether a data set of this name ships: "wikitext" or "pg19", or the name that kvpress's evaluation has for it.
bool is_included(std::string_view name);

}  // namespace kvpress
