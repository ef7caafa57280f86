// kvpress pull: a model of the hub, into its local cache.
#include "hub/pull.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "kvpress/base/error.h"
#include "kvpress/base/log.h"

namespace kvpress {
namespace {

struct PullOptions {
  std::string name;
  std::string revision;
  std::vector<std::string> files;
  bool quiet = false;
};

void run(const PullOptions& options) {
  set_quiet(options.quiet);
  std::optional<HubName> name = parse_hub_name(options.name);
  if (!name) {
    fail_usage("'{}' is not a model id; give ORG/NAME, such as EleutherAI/pythia-70m, or ORG/NAME/FILE.gguf",
               options.name);
  }
  if (!options.revision.empty()) {
    if (!is_safe_relative(options.revision)) {
      fail_usage("--revision: '{}' is not the name of a branch, tag or commit", options.revision);
    }
    if (options.name.find('@') != std::string::npos && options.revision != name->revision) {
      fail_usage("--revision: {} already names revision {}; remove one of them", options.name, name->revision);
    }
    name->revision = options.revision;
  }
  const HubSettings settings = hub_settings();
  if (settings.offline && options.files.empty()) {
    if (const auto there = find_pulled(settings, *name)) {
      fmt::print("{}\n", there->string());
      return;
    }
  }
  const Pulled pulled = pull_model(settings, *name, options.files);
  fmt::print("{}\n", (name->file.empty() ? pulled.snapshot : pulled.snapshot / name->file).string());
}

}  // namespace

void add_pull_command(CLI::App& program) {
  auto options = std::make_shared<PullOptions>();
  CLI::App* command = program.add_subcommand("pull", "Download a model from the hub into the local cache");
  command->add_option("id", options->name, "ORG/NAME, ORG/NAME@REVISION, or a file: ORG/NAME/FILE.gguf")->required();
  command->add_option("files", options->files, "Files to download (default: those that kvpress needs)");
  command->add_option("--revision", options->revision, "Branch, tag or commit (default: main)");
  command->add_flag("--quiet", options->quiet, "Print only errors to stderr");
  command->footer(
      "Prints the folder of the model. Files in the cache are not downloaded again.\nEnvironment variables: HF_TOKEN, "
      "HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE.\nExamples:\n  kvpress pull EleutherAI/pythia-70m\n  kvpress "
      "pull EleutherAI/pythia-70m --revision step1000\n  kvpress pull ggml-org/models/tinyllamas/stories260K.gguf");
  command->callback([options] { run(*options); });
}

}  // namespace kvpress
