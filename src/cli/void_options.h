// Warnings of options that were given but change nothing, because of the protocol, press or format they stand beside.
#pragma once

#include <CLI/CLI.hpp>

#include <span>
#include <string>
#include <vector>

#include "cli/run_options.h"
#include "cli/text_options.h"
#include "kvpress/engine/generate.h"
#include "kvpress/press/registry.h"

namespace kvpress {

/// Whether an option was given, by its name on the command line or in a plan; false if the command has no such option.
bool was_given(const CLI::App& command, const std::string& option);

/// Warns that an option has no effect, if it was given: "--stride has no effect: <reason>".
void warn_if_given(const CLI::App& command, const std::string& option, const std::string& reason);

/// Options of protocols that none of these has.
void warn_of_void_protocol_options(const CLI::App& command, std::span<const Protocol> protocols);

/// Ratios beside a fixed budget; budgets and positions without a press; `ratio_option` is what ratios are called.
void warn_of_void_budget_options(const CLI::App& command, const BudgetOptions& budget,
                                 std::span<const NamedPress> presses, const std::string& ratio_option);

/// --cache-residual where nothing is quantized. `cache_dtypes` are all formats of the run.
void warn_of_void_cache_options(const CLI::App& command, const std::vector<std::string>& cache_dtypes);

/// --dataset-config, --split and --text-column where texts have none.
void warn_of_void_text_options(const CLI::App& command, const TextOptions& texts);

/// --top-k and --top-p without a temperature.
void warn_of_void_sampling_options(const CLI::App& command, const GenerateSettings& settings);

}  // namespace kvpress
