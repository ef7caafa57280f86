// Manual pages and shell completions, made of the same descriptions as --help.
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <string>

namespace kvpress {

/// A page in man's format: of the program, or of one of its commands ("kvpress-ppl").
std::string manual_page(const CLI::App& app);

/// Writes kvpress.1, a page for each command, and the completions kvpress.bash, _kvpress (zsh) and kvpress.fish.
void write_manuals(const CLI::App& program, const std::filesystem::path& folder);

/// A script that completes commands and options. `shell` is bash, zsh or fish; throws UsageError for another.
std::string completion_script(const CLI::App& program, const std::string& shell);

}  // namespace kvpress
