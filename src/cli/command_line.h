// The command line of this process, for result files that say how they were made.
#pragma once

#include <string>

namespace kvpress {

/// Call it once, in main().
void remember_command(int argc, char** argv);

/// "kvpress evaluate -m demo --press-name 'snapkv(window_size=32)'", as a shell takes it.
const std::string& command_line();

/// For a shell, whatever is in it.
std::string shell_quoted(const std::string& text);

}  // namespace kvpress
