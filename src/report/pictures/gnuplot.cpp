#include "report/pictures/gnuplot.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <system_error>

#include "base/file.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "report/pictures/palette.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX wants it declared

namespace kvpress {
namespace {

namespace fs = std::filesystem;

/// A folder below the system's temporary one, gone with the object.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (fs::temp_directory_path() / "kvpress-picture-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) fail("{}: cannot be created: {}", name, errno_text());
    path_ = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

/// The first gnuplot in PATH; empty when there is none.
fs::path find_gnuplot() {
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nobody writes the environment
  std::string_view rest = path == nullptr ? "/usr/bin:/bin" : path;
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    const fs::path program = fs::path(folder) / "gnuplot";
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

/// Runs gnuplot on a script file, with what it says in `said`; false unless it ended well.
bool run(const fs::path& gnuplot, const fs::path& script, const fs::path& said) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, said.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ::posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  std::string name = "gnuplot";
  std::string no_startup = "-d";  // the user's own ~/.gnuplot must not change the picture
  std::string file = script.string();
  std::array<char*, 4> arguments = {name.data(), no_startup.data(), file.data(), nullptr};
  pid_t child = 0;
  const int error = ::posix_spawn(&child, gnuplot.c_str(), &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) fail("{}: cannot be run: {}", gnuplot.string(), std::generic_category().message(error));
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) fail("gnuplot: cannot be waited for: {}", errno_text());
    try {
      check_interrupt();
    } catch (...) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      throw;
    }
  }
  check_interrupt();
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  while (std::getline(stream, line)) {
    if (line.find_first_not_of(" \t^") != std::string::npos) return line;
  }
  return "no error message";
}

std::string terminal(const std::string& ending, const PictureSize& size) {
  if (ending == ".svg") {
    return fmt::format("set terminal svg noenhanced size {},{} dynamic font 'DejaVu Sans,13' background '#ffffff'\n",
                       size.width, size.height);
  }
  return fmt::format("set terminal pngcairo noenhanced size {},{} font 'DejaVu Sans,11' background '#ffffff'\n",
                     size.width, size.height);
}

bool is_whole(const std::string& picture, const std::string& ending) {
  if (ending == ".svg") return picture.find("<svg") != std::string::npos && picture.find("</svg>") != std::string::npos;
  return picture.starts_with("\x89PNG") && picture.find("IEND") != std::string::npos;
}

}  // namespace

void check_can_draw(const fs::path& path) {
  const std::string ending = path.extension().string();
  if (ending != ".png" && ending != ".svg") {
    fail_usage("{}: unknown picture format; use .png or .svg", path.string());
  }
  if (find_gnuplot().empty()) {
    fail("gnuplot: not found, but needed to draw {}; install it with: apt-get install gnuplot-nox", path.string());
  }
}

void write_picture(const std::string& script, const PictureSize& size, const fs::path& path) {
  check_can_draw(path);
  const std::string ending = path.extension().string();
  const ScratchFolder scratch;
  const fs::path output = scratch / "picture";
  write_file(scratch / "script.gp", terminal(ending, size) + "set output " + gnuplot_text(output.string()) + "\n" +
                                        "set encoding utf8\n" + script + "\nunset output\n");
  const bool ended_well = run(find_gnuplot(), scratch / "script.gp", scratch / "said");
  if (!ended_well) fail("{}: gnuplot failed: {}", path.string(), first_line(scratch / "said"));
  const std::string picture = fs::exists(output) ? read_file(output) : "";
  if (!is_whole(picture, ending)) {
    fail("{}: gnuplot wrote an incomplete picture: {}", path.string(), first_line(scratch / "said"));
  }
  write_file(path, picture);
}

std::string gnuplot_text(std::string_view text) {
  // In single quotes nothing is expanded; a quote is written twice.
  std::string quoted = "'";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < ' ') {
      quoted += ' ';
    } else {
      quoted += c == '\'' ? "''" : std::string(1, c);
    }
  }
  return quoted + "'";
}

std::string gnuplot_style(const LineStyle& style) {
  constexpr int kPointTypes[] = {7, 5, 9, 13, 11, 6, 4, 8, 12, 10, 1, 2};
  const std::vector<int> lengths = dash_lengths(style.dash);
  const std::string dash = lengths.empty() ? "1" : fmt::format("({})", fmt::join(lengths, ","));
  return fmt::format("lc rgb '{}' dt {} pt {}", style.color.light, dash,
                     kPointTypes[static_cast<std::size_t>(style.mark)]);
}

}  // namespace kvpress
