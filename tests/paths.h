// Where this checkout and this build are. In one file alone (paths.cpp): what other tests compile to is the same in
// every checkout, and a compiler cache serves them all.
#pragma once

namespace kvpress::test {

extern const char* const kTestDir;     ///< tests/
extern const char* const kProjectDir;  ///< the root of the checkout
extern const char* const kProgram;     ///< the program just built
extern const char* const kPluginDir;   ///< the plugins just built

}  // namespace kvpress::test
