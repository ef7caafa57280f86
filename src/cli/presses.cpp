// kvpress presses: the registry.
#include <fmt/format.h>

#include <cstdio>

#include "kvpress/cli/commands.h"
#include "kvpress/press/parameter_values.h"
#include "kvpress/press/registry.h"

namespace kvpress {

void add_presses_command(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("presses", "List the presses: what each does, its paper, parameters and needs");
  command->footer(
      "Examples:\n  kvpress presses\n  kvpress ppl -m demo --dataset-name pg19 --press 'snapkv(window_size=32)'");
  command->callback([] {
    fmt::print("no_press\n  keeps everything: the full cache that every press is compared with\n");
    for (const PressEntry* entry : press_entries()) {
      fmt::print("\n{}\n  {}\n", entry->name, entry->summary);
      if (!entry->paper.empty()) fmt::print("  paper: {}\n", entry->paper);
      fmt::print("  needs: {}\n", entry->needs);
      const auto press = entry->make();
      for (const ParameterValue& it : parameters_of(*press)) {
        fmt::print("  {} = {}: {}\n", it.name, it.value, it.meaning);
      }
    }
  });
}

}  // namespace kvpress
