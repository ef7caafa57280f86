#include "formats/printable.h"

#include <utf8proc.h>

namespace kvpress {

std::string printable(std::string_view name) {
  constexpr std::size_t kMaxBytes = 100;
  std::string shown;
  while (!name.empty() && shown.size() < kMaxBytes) {
    utf8proc_int32_t code = -1;
    const utf8proc_ssize_t n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(name.data()),
                                                static_cast<utf8proc_ssize_t>(name.size()), &code);
    const bool control = n <= 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029;
    const std::size_t length = n <= 0 ? 1 : static_cast<std::size_t>(n);
    shown += control ? std::string_view("?") : name.substr(0, length);
    name.remove_prefix(length);
  }
  if (!name.empty()) shown += "...";
  return shown;
}

}  // namespace kvpress
