#include "cli/command_line.h"

namespace kvpress {
namespace {

std::string& remembered() {
  static std::string line;
  return line;
}

}  // namespace

std::string shell_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

void remember_command(int argc, char** argv) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+.,:/@%";
  std::string& line = remembered();
  line = "kvpress";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool plain = !argument.empty() && argument.find_first_not_of(kPlain) == std::string::npos;
    line += " " + (plain ? argument : shell_quoted(argument));
  }
}

const std::string& command_line() { return remembered(); }

}  // namespace kvpress
