// Running the program as a person does: its exit code, what it says and what it prints.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "paths.h"
#include "temporary_folder.h"

namespace kvpress::test {

inline std::string content_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct Ended {
  int code = -1;  ///< the exit code, or -1 when a signal ended it
  std::string out;
  std::string err;
};

/// Runs "kvpress <arguments>" through a shell.
inline Ended run_program(const std::string& arguments) {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "out").string();
  const std::string err = (folder.path() / "err").string();
  const int status =
      std::system((std::string(kProgram) + " " + arguments + " >" + out + " 2>" + err).c_str());  // NOLINT
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content_of(out), content_of(err)};
}

}  // namespace kvpress::test
