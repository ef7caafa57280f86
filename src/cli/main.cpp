// The kvpress program: commands, errors, exit codes (0 done, 1 failed, 2 wrong usage, 130 interrupted).
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "base/wait_policy.h"
#include "cli/commands.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/log.h"
#include "kvpress/base/version.h"
#include "ops/isa.h"

namespace {

/// Long options are accepted with - or _: --compression_ratio is --compression-ratio. Values stay as they are.
std::vector<std::string> normalized(int argc, char** argv) {
  std::vector<std::string> arguments;
  bool options_ended = false;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    if (argument == "--") options_ended = true;
    if (!options_ended && argument.starts_with("--")) {
      std::replace(argument.begin(),
                   argument.begin() + static_cast<std::ptrdiff_t>(std::min(argument.find('='), argument.size())), '_',
                   '-');
    }
    arguments.push_back(std::move(argument));
  }
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  return arguments;
}

/// CLI11 would only say that a command is missing.
void check_command(const CLI::App& program, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::vector<std::string> known;
  for (const CLI::App* it : program.get_subcommands({})) known.push_back(it->get_name());
  if (std::find(known.begin(), known.end(), argv[1]) != known.end()) return;
  kvpress::fail_usage("command '{}' is not known; known: {}", argv[1], fmt::join(known, ", "));
}

int complain(std::string message, int code) {
  // One line, whatever a library put into its message.
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::fputs(("kvpress: " + message + "\n").c_str(), stderr);  // fmt would throw where stderr cannot be written to
  return code;
}

/// A stream that is closed would lend its number to the next file that is opened, which then gets what is printed. It
/// is taken by what can only be read, so that printing fails as it should.
void occupy_standard_streams() {
  for (int fd = ::open("/dev/null", O_RDONLY); fd >= 0; fd = ::open("/dev/null", O_RDONLY)) {
    if (fd <= STDERR_FILENO) continue;
    ::close(fd);
    return;
  }
}

/// Version, commit, compiler, the library of products, and the instructions in use.
std::string about() {
  return fmt::format("kvpress {} ({}), {}, {}, {}", kvpress::version(), kvpress::commit(), kvpress::compiler(),
                     kvpress::product_library(), to_string(kvpress::isa()));
}

/// Settings of the library are options here.
std::string option_of(std::string_view setting) {
  std::string option = "--" + std::string(setting);
  std::replace(option.begin(), option.end(), '_', '-');
  return option;
}

}  // namespace

int main(int argc, char** argv) {
  occupy_standard_streams();
  kvpress::restart_with_short_spin(argv);
  kvpress::name_settings(option_of);
  CLI::App program("Measure the cost and the benefit of KV-cache compression.", "kvpress");
  program.set_version_flag("--version", std::function<std::string()>(about));
  program.require_subcommand(0, 1);
  program.footer("kvpress COMMAND --help shows the options of a command, and examples.");
  kvpress::add_ppl_command(program);
  kvpress::add_evaluate_command(program);
  kvpress::add_compare_command(program);
  kvpress::add_breakeven_command(program);
  kvpress::add_heatmap_command(program);
  kvpress::add_sweep_command(program);
  kvpress::add_presses_command(program);
  kvpress::add_inspect_command(program);
  kvpress::add_generate_command(program);
  kvpress::add_bench_command(program);
  kvpress::add_calibrate_command(program);
  kvpress::add_report_command(program);
  kvpress::add_pull_command(program);
  kvpress::add_task_command(program);
  kvpress::add_completions_command(program);

  kvpress::install_interrupt_handler();
  try {
    check_command(program, argc, argv);
    program.parse(normalized(argc, argv));
    if (program.get_subcommands().empty()) std::fputs(program.help().c_str(), stdout);
    std::fflush(stdout);
    if (std::ferror(stdout) != 0) return complain("standard output: cannot be written", 1);
    return 0;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return program.exit(error);  // --help, --version
    return complain(std::string(error.what()) + "; see --help", 2);
  } catch (const kvpress::UsageError& error) {
    return complain(error.what(), 2);
  } catch (const kvpress::Interrupted& error) {
    return complain(error.what(), 130);
  } catch (const std::bad_alloc&) {
    return complain("memory: not enough for this run; use fewer tokens or a smaller model", 1);
  } catch (const std::exception& error) {
    return complain(error.what(), 1);
  }
}
