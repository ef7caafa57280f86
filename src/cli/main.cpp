// The kvpress program: commands, errors, exit codes (0 done, 1 failed, 2 wrong usage, 130 interrupted).
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iterator>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/closest.h"
#include "base/file.h"
#include "base/wait_policy.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "kvpress/base/error.h"
#include "kvpress/base/interrupt.h"
#include "kvpress/base/log.h"
#include "kvpress/base/version.h"
#include "kvpress/press/plugin.h"
#include "ops/isa.h"

namespace {

/// Options that are true when they are given; "true" or "false" may follow, as in kvpress's evaluation.
constexpr std::string_view kSwitches[] = {"--prefill-only", "--timeline"};

/// Whether the argument is the value of a switch before it.
bool is_switch_value(std::string_view option, std::string_view argument) {
  if (std::find(std::begin(kSwitches), std::end(kSwitches), option) == std::end(kSwitches)) return false;
  return argument == "true" || argument == "True" || argument == "false" || argument == "False";
}

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
    if (!options_ended && !arguments.empty() && is_switch_value(arguments.back(), argument)) {
      arguments.back() += argument == "true" || argument == "True" ? "=true" : "=false";
      continue;
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
  kvpress::fail_usage("command {}", kvpress::is_not_known(argv[1], known));
}

/// CLI11 takes what is beyond 64 bits for the largest number.
std::string beyond_64_bits(const std::string& text) {
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const char* end = text.data() + text.size();
  std::int64_t value = 0;
  std::uint64_t large = 0;
  const bool fits = std::from_chars(begin, end, value).ec != std::errc::result_out_of_range ||
                    (!text.starts_with('-') && std::from_chars(begin, end, large).ec != std::errc::result_out_of_range);
  return fits ? "" : fmt::format("{} has more than 64 bits", text);
}

void check_numbers(CLI::App& program) {
  for (CLI::App* command : program.get_subcommands({})) {
    for (CLI::Option* option : command->get_options()) {
      const std::string type = option->get_type_name();
      if (type == "INT" || type == "UINT") option->check(CLI::Validator(beyond_64_bits, ""));
    }
  }
}

/// What CLI11 says of an option that the command does not have, and which it has that could be meant.
std::string not_expected(const CLI::App& program, const CLI::ExtrasError& error) {
  const std::vector<CLI::App*> commands = program.get_subcommands();
  const CLI::App& command = commands.empty() ? program : *commands.front();
  for (const std::string& it : command.remaining(true)) {
    if (!it.starts_with("--")) continue;
    const std::string name = it.substr(0, it.find('='));
    std::vector<std::string> known;
    for (const CLI::Option* option : command.get_options()) {
      for (const std::string& known_name : option->get_lnames()) known.push_back("--" + known_name);
    }
    const std::string meant = kvpress::did_you_mean(name, known);
    return fmt::format("{}: kvpress {} has no such option{}", name, command.get_name(), meant);
  }
  return error.what();
}

/// KVPRESS_PLUGINS: plugins for every command, separated by colons.
void load_plugins_of_environment() {
  const char* value = std::getenv("KVPRESS_PLUGINS");  // NOLINT(concurrency-mt-unsafe): nobody writes the environment
  std::string_view rest = value == nullptr ? "" : value;
  while (!rest.empty()) {
    const std::string_view file = rest.substr(0, rest.find(':'));
    if (!file.empty()) kvpress::load_plugin(file);
    rest.remove_prefix(std::min(rest.size(), file.size() + 1));
  }
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
  kvpress::add_compress_command(program);
  kvpress::add_ask_command(program);
  kvpress::add_chat_command(program);
  kvpress::add_bench_command(program);
  kvpress::add_calibrate_command(program);
  kvpress::add_report_command(program);
  kvpress::add_pull_command(program);
  kvpress::add_task_command(program);
  kvpress::add_serve_command(program);
  kvpress::add_completions_command(program);

  check_numbers(program);

  kvpress::install_interrupt_handler();
  kvpress::install_truncation_handler();
  std::signal(SIGXFSZ,
              SIG_IGN);  // a file that grows beyond the user's limit is then an error of writing, with its name
  try {
    check_command(program, argc, argv);
    kvpress::remember_command(argc, argv);
    load_plugins_of_environment();
    program.parse(normalized(argc, argv));
    if (program.get_subcommands().empty()) std::fputs(program.help().c_str(), stdout);
    std::fflush(stdout);
    if (std::ferror(stdout) != 0) return complain("standard output: cannot be written", 1);
    return 0;
  } catch (const CLI::ExtrasError& error) {
    return complain(not_expected(program, error) + "; see --help", 2);
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
