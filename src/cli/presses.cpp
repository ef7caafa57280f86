// kvpress presses: the registry.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "kvpress/press/registry.h"
#include "press/flat_names.h"
#include "press/parameter_values.h"
#include "press/schedule_forms.h"

namespace kvpress {
namespace {

void print_parameters(Parameterized& it, std::string_view indent) {
  for (const ParameterValue& parameter : parameters_of(it)) {
    const std::string value = parameter.value.empty() ? "a press" : parameter.value;
    fmt::print("{}{} = {}: {}\n", indent, parameter.name, value, parameter.meaning);
  }
}

void print_short() {
  fmt::print("no_press\n  keeps everything: the full cache, with which presses are compared\n");
  for (const PressEntry* entry : press_entries()) {
    fmt::print("\n{}\n  {}\n", entry->name, entry->summary);
    if (!entry->paper.empty()) fmt::print("  paper: {}\n", entry->paper);
    fmt::print("  needs: {}\n", entry->needs);
    print_parameters(*entry->make(), "  ");
  }
  fmt::print("\nSchedules:\n");
  for (const ScheduleForm& form : schedule_forms()) {
    fmt::print("\n{}\n  {}\n", form.name, form.summary);
    print_parameters(*form.make(), "  ");
  }
  fmt::print("\nNames of kvpress's evaluation registry:\n\n");
  for (const FlatName& it : flat_names()) {
    fmt::print("{:<36} {}{}\n", it.name, it.stands_for, it.registry_only ? " (only in evaluate and sweep)" : "");
  }
}

void print_long() {
  for (const PressEntry* entry : press_entries()) {
    fmt::print("{}\n  {}\n", entry->name, entry->idea);
    fmt::print("  formula: {}\n", entry->formula);
    if (!entry->paper.empty()) fmt::print("  paper:   {}\n", entry->paper);
    fmt::print("  needs:   {}\n", entry->needs);
    fmt::print("  when:    {}\n", entry->when);
    print_parameters(*entry->make(), "    ");
    fmt::print("\n");
  }
}

/// The reference part of docs/presses.md, which a test compares with this.
void print_markdown() {
  for (const PressEntry* entry : press_entries()) {
    fmt::print("### `{}`\n{}\n\n", entry->name, entry->idea);
    fmt::print("- formula: {}\n", entry->formula);
    if (!entry->paper.empty()) fmt::print("- paper: <{}>\n", entry->paper);
    fmt::print("- needs: {}\n", entry->needs);
    fmt::print("- when: {}\n", entry->when);
    for (const ParameterValue& it : parameters_of(*entry->make())) {
      fmt::print("- `{}` = {}: {}\n", it.name, it.value.empty() ? "a press" : "`" + it.value + "`", it.meaning);
    }
    fmt::print("\n");
  }
}

}  // namespace

void add_presses_command(CLI::App& program) {
  struct Options {
    bool all = false;
    bool markdown = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("presses", "List the presses with paper, parameters and needs");
  command->add_flag("--long", options->all, "Also print the idea, the formula, and when to use the press");
  command->add_flag("--markdown", options->markdown, "Print the long form as Markdown");
  command->footer(
      "Examples:\n  kvpress presses\n  kvpress presses --long\n"
      "  kvpress ppl -m demo --dataset-name pg19 --press 'snapkv(window_size=32)'");
  command->callback([options] {
    if (options->markdown) {
      print_markdown();
    } else if (options->all) {
      print_long();
    } else {
      print_short();
    }
  });
}

}  // namespace kvpress
