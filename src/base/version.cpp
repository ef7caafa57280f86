#include "kvpress/base/version.h"

namespace kvpress {

std::string_view version() { return KVPRESS_VERSION; }

std::string_view commit() { return KVPRESS_COMMIT; }

std::string_view compiler() { return KVPRESS_COMPILER; }

}  // namespace kvpress
