// Names that are not known: what messages say of them.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace kvpress {

/// " (did you mean 'snapkv'?)" for "snapvk", or nothing if no name is close: within a third of its letters added, left
/// out, changed, or swapped with the next. Case does not count, nor - in place of _.
std::string did_you_mean(std::string_view name, std::span<const std::string> known);

/// "'snapvk' is not known (did you mean 'snapkv'?); known: knorm, snapkv"
std::string is_not_known(std::string_view name, std::span<const std::string> known);

}  // namespace kvpress
