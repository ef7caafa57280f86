#include "cli/sweep_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <vector>

#include "base/closest.h"
#include "base/file.h"
#include "kvpress/base/error.h"
#include "press/spec.h"

namespace kvpress {
namespace {

/// Options of the plan are in a group of their own, by which they are told from those of the command.
constexpr const char* kPlanGroup = "Plan options";

std::vector<CLI::Option*> options_of_plan(CLI::App& command) {
  return command.get_options([](CLI::Option* it) { return it->get_group() == kPlanGroup; });
}

std::string key_of(const CLI::Option& option) {
  std::string key = option.get_lnames().front();
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

CLI::Option* option_of(CLI::App& command, std::string key, const std::string& source) {
  std::replace(key.begin(), key.end(), '-', '_');
  std::vector<std::string> known;
  for (CLI::Option* it : options_of_plan(command)) {
    if (key_of(*it) == key) return it;
    known.push_back(key_of(*it));
  }
  fail_usage("{}: {}", source, is_not_known(key, known));
}

void set(CLI::Option& option, const std::string& value, const std::string& source) {
  try {
    option.clear();
    option.add_result(value);
    option.run_callback();
  } catch (const CLI::ParseError& error) {
    fail_usage("{}: {}: '{}' is not a valid value", source, key_of(option), value);
  }
}

std::string value_of(const YAML::Node& node, const std::string& source, const std::string& key) {
  if (node.IsScalar()) return node.as<std::string>();
  std::vector<std::string> items;
  if (node.IsSequence()) {
    for (const auto& it : node) {
      if (!it.IsScalar()) fail_usage("{}: {}: the list contains an item that is not a plain value", source, key);
      items.push_back(it.as<std::string>());
    }
  }
  if (items.empty()) fail_usage("{}: {}: has no value; give one or a list", source, key);
  return fmt::format("{}", fmt::join(items, ","));
}

}  // namespace

void SweepOptions::add_to(CLI::App& command) {
  const std::vector<CLI::Option*> before = command.get_options([](CLI::Option*) { return true; });
  compute.add_to(command, "-m,--model");
  command.get_option("--model")->required(false);
  command
      .add_option("--datasets", datasets,
                  "Data sets, separated by commas: wikitext_ppl, pg19_ppl, hf:ORG/NAME, or paths")
      ->capture_default_str();
  command.add_option("--presses", presses, "Presses, separated by commas; no_press is always run as well")
      ->capture_default_str();
  command.add_option("--ratios", ratios, "Compression ratios: numbers and first:last:step, separated by commas")
      ->capture_default_str();
  command.add_option("--repeats", repeats, "Repeats of each run; medians of times are reported")->capture_default_str();
  command.add_option("--max-samples", max_samples, "Use only this many rows or books (default: 64 and 1)");
  command.add_option("--max-tokens", max_tokens, "Truncate each text to this many tokens (default: 4096 and 8192)");
  command.add_flag("--prefill-only", prefill_only, kPrefillOnlyHelp);
  command.add_flag("--timeline", timeline, kTimelineHelp);
  bos.add_to(command);
  protocol.add_to(command);
  command.get_option("--protocol")
      ->description("Protocols, separated by commas: window, chunked, continuation, decode");
  for (CLI::Option* it : command.get_options([](CLI::Option*) { return true; })) {
    const bool own = std::find(before.begin(), before.end(), it) == before.end();
    if (own && it->get_lnames().front() != "quiet") it->group(kPlanGroup);
  }
}

SweepPlan SweepOptions::plan() const {
  SweepPlan plan;
  SweepGrid& grid = plan.grid;
  grid.datasets = split_presses(datasets);
  grid.protocols = split_presses(protocol.protocol);
  for (const std::string& it : grid.protocols) parse_protocol(it, "--protocol");
  for (const std::string& it : split_presses(presses)) {
    if (it != "no_press") grid.presses.push_back(it);
  }
  grid.ratios = parse_ratios(ratios, "--ratios");
  grid.repeats = repeats;
  grid.seed = compute.seed;
  plan.model = compute.model;
  plan.load = compute.load_settings();
  plan.settings = [options = *this](const std::string& name, const ModelConfig& config) {
    ProtocolOptions one = options.protocol;
    one.protocol = name;
    // Each protocol takes of the settings what is its own.
    if (parse_protocol(name, setting("protocol")) != Protocol::decode) one.budget.compression_interval = 0;
    RunSettings settings = one.settings(options.compute, config);
    settings.timeline = options.timeline;
    return settings;
  };
  plan.max_samples = max_samples;
  plan.bos = bos.choice();
  if (max_tokens >= 0) plan.max_tokens = max_tokens;
  return plan;
}

void apply_plan_file(CLI::App& command, const std::string& path) {
  YAML::Node plan;
  try {
    plan = YAML::Load(read_file(path));
  } catch (const YAML::Exception& error) {
    fail_usage("{}: line {}: is not valid YAML: {}", path, error.mark.line + 1, error.msg);
  }
  if (!plan.IsMap()) fail_usage("{}: is not a plan; a plan has lines such as 'presses: [knorm, snapkv]'", path);
  std::vector<std::string> seen;
  for (const auto& it : plan) {
    if (!it.first.IsScalar())
      fail_usage("{}: line {}: the name of an option is needed", path, it.first.Mark().line + 1);
    const auto key = it.first.as<std::string>();
    CLI::Option* option = option_of(command, key, path);
    if (std::find(seen.begin(), seen.end(), key_of(*option)) != seen.end()) {
      fail_usage("{}: '{}' is given twice", path, key);
    }
    seen.push_back(key_of(*option));
    if (option->count() == 0) set(*option, value_of(it.second, path, key), path);
  }
}

Json plan_options(CLI::App& command) {
  Json options;
  for (const CLI::Option* it : options_of_plan(command)) {
    const bool given = it->count() > 0;
    const std::string value = given ? fmt::format("{}", fmt::join(it->results(), ",")) : it->get_default_str();
    if (!value.empty()) options[key_of(*it)] = value;
  }
  return options;
}

void apply_plan_options(CLI::App& command, const Json& options) {
  for (const auto& [key, value] : options.items()) {
    set(*option_of(command, key, "plan.json"), value.get<std::string>(), "plan.json");
  }
}

void refuse_plan_options(CLI::App& command, const std::string& beside) {
  for (const CLI::Option* it : options_of_plan(command)) {
    if (it->count() > 0) {
      fail_usage("--{}: is part of the plan, which {} reads from the folder; remove it, or start a new sweep",
                 it->get_lnames().front(), beside);
    }
  }
}

}  // namespace kvpress
