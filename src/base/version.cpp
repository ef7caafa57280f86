#include "kvpress/base/version.h"

namespace kvpress {

std::string_view version() { return KVPRESS_VERSION; }

}  // namespace kvpress
