// kvpress completions: a script that completes commands and options in a shell. Manual pages are made the same way,
// when the program is built.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/manual.h"

namespace kvpress {

void add_completions_command(CLI::App& program) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = program.add_subcommand("completions", "A script that completes commands and options in a shell");
  command->add_option("shell", *shell, "bash, zsh or fish")->required();
  command->footer("Examples:\n  source <(kvpress completions bash)");
  command->callback([&program, shell] { fmt::print("{}", completion_script(program, *shell)); });

  auto folder = std::make_shared<std::string>();
  CLI::App* manuals = program.add_subcommand("manuals", "Manual pages and completions, as files in a folder");
  manuals->group("");  // for the build
  manuals->add_option("folder", *folder)->required();
  manuals->callback([&program, folder] { write_manuals(program, *folder); });
}

}  // namespace kvpress
