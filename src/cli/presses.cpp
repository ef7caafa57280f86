// kvpress presses: the registry.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/closest.h"
#include "cli/commands.h"
#include "cli/run_options.h"
#include "kvpress/base/error.h"
#include "kvpress/press/registry.h"
#include "press/flat_names.h"
#include "press/parameter_values.h"
#include "press/schedule_forms.h"
#include "report/documents/json.h"

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

void print_long(const PressEntry& entry) {
  fmt::print("{}\n  {}\n", entry.name, entry.idea.empty() ? entry.summary : entry.idea);
  if (!entry.formula.empty()) fmt::print("  formula: {}\n", entry.formula);
  if (!entry.paper.empty()) fmt::print("  paper:   {}\n", entry.paper);
  fmt::print("  needs:   {}\n", entry.needs);
  if (!entry.when.empty()) fmt::print("  when:    {}\n", entry.when);
  print_parameters(*entry.make(), "    ");
}

void print_long() {
  for (const PressEntry* entry : press_entries()) {
    print_long(*entry);
    fmt::print("\n");
  }
}

/// One press, schedule or flat name.
void print_one(const std::string& name) {
  std::vector<std::string> known;
  for (const PressEntry* entry : press_entries()) {
    if (entry->name == name) return print_long(*entry);
    known.emplace_back(entry->name);
  }
  for (const ScheduleForm& form : schedule_forms()) {
    if (form.name == name) {
      fmt::print("{}\n  {}\n", form.name, form.summary);
      return print_parameters(*form.make(), "    ");
    }
    known.emplace_back(form.name);
  }
  for (const FlatName& it : flat_names()) {
    if (it.name == name) {
      fmt::print("{}\n  a name of kvpress's evaluation; stands for {}\n", it.name, it.stands_for);
      return;
    }
    known.emplace_back(it.name);
  }
  fail_usage("press {}", is_not_known(name, known));
}

Json parameters_json(Parameterized& it) {
  Json parameters = Json::array();
  for (const ParameterValue& parameter : parameters_of(it)) {
    parameters.push_back({{"name", parameter.name},
                          {"default", parameter.value.empty() ? Json() : Json(parameter.value)},
                          {"meaning", parameter.meaning}});
  }
  return parameters;
}

void print_json() {
  Json presses = Json::array();
  for (const PressEntry* entry : press_entries()) {
    const std::unique_ptr<Press> press = entry->make();
    presses.push_back({{"name", entry->name},
                       {"kind", to_string(press->kind())},
                       {"summary", entry->summary},
                       {"paper", entry->paper},
                       {"needs", entry->needs},
                       {"idea", entry->idea},
                       {"formula", entry->formula},
                       {"when", entry->when},
                       {"parameters", parameters_json(*press)}});
  }
  Json schedules = Json::array();
  for (const ScheduleForm& form : schedule_forms()) {
    schedules.push_back(
        {{"name", form.name}, {"summary", form.summary}, {"parameters", parameters_json(*form.make())}});
  }
  Json names = Json::array();
  for (const FlatName& it : flat_names()) {
    names.push_back({{"name", it.name}, {"stands_for", it.stands_for}, {"only_in_evaluate", it.registry_only}});
  }
  const Json document = {{"presses", presses}, {"schedules", schedules}, {"names_of_kvpress", names}};
  fmt::print("{}\n", json_text(document, 2));
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
    bool json = false;
    std::string name;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("presses", "List the presses with paper, parameters and needs");
  command->add_option("name", options->name, "Show only this press, with all that --long prints");
  command->add_flag("--long", options->all, "Also print the idea, the formula, and when to use the press");
  command->add_flag("--markdown", options->markdown, "Print the long form as Markdown");
  command->add_flag("--json", options->json, "Print all presses, schedules and names with their parameters as JSON");
  add_plugin_option(*command);
  command->footer(
      "Examples:\n  kvpress presses\n  kvpress presses snapkv\n  kvpress presses --long\n"
      "  kvpress ppl -m demo --dataset-name pg19 --press 'snapkv(window_size=32)'");
  command->callback([options] {
    if (!options->name.empty()) {
      print_one(options->name);
    } else if (options->json) {
      print_json();
    } else if (options->markdown) {
      print_markdown();
    } else if (options->all) {
      print_long();
    } else {
      print_short();
    }
  });
}

}  // namespace kvpress
