#include "paths.h"

namespace kvpress::test {

const char* const kTestDir = KVPRESS_TEST_DIR;
const char* const kProjectDir = KVPRESS_PROJECT_DIR;
const char* const kProgram = KVPRESS_PROGRAM;
const char* const kPluginDir = KVPRESS_PLUGIN_DIR;

}  // namespace kvpress::test
