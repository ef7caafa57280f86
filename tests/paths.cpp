#include "paths.h"

namespace kvpress::test {

const char* const kTestDir = KVPRESS_TEST_DIR;
const char* const kProjectDir = KVPRESS_PROJECT_DIR;
const char* const kProgram = KVPRESS_PROGRAM;

}  // namespace kvpress::test
