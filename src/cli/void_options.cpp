#include "cli/void_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "formats/included_texts.h"
#include "kvpress/base/log.h"

namespace kvpress {
namespace {

bool has(std::span<const Protocol> protocols, Protocol one) {
  return std::find(protocols.begin(), protocols.end(), one) != protocols.end();
}

}  // namespace

bool was_given(const CLI::App& command, const std::string& option) {
  const CLI::Option* const found = command.get_option_no_throw(option);
  return found != nullptr && found->count() > 0;
}

void warn_if_given(const CLI::App& command, const std::string& option, const std::string& reason) {
  if (was_given(command, option)) log_warning(fmt::format("{} has no effect: {}", option, reason));
}

void warn_of_void_protocol_options(const CLI::App& command, std::span<const Protocol> protocols) {
  std::vector<std::string_view> names;
  for (const Protocol it : protocols) names.push_back(to_string(it));
  const std::string here = fmt::format("{} {}", names.size() > 1 ? "protocols" : "protocol", fmt::join(names, ", "));
  const auto only = [&](const std::string& option, std::initializer_list<Protocol> of) {
    if (std::any_of(of.begin(), of.end(), [&](Protocol it) { return has(protocols, it); })) return;
    std::vector<std::string_view> theirs;
    for (const Protocol it : of) theirs.push_back(to_string(it));
    warn_if_given(command, option,
                  fmt::format("it belongs to protocol {}, and this run uses {}; remove it, or use --protocol {}",
                              fmt::join(theirs, " and "), here, theirs.front()));
  };
  only("--stride", {Protocol::window});
  only("--chunk-size", {Protocol::chunked});
  only("--max-length", {Protocol::window, Protocol::chunked});
  only("--context-tokens", {Protocol::continuation, Protocol::decode});
}

void warn_of_void_budget_options(const CLI::App& command, const BudgetOptions& budget,
                                 std::span<const NamedPress> presses, const std::string& ratio_option) {
  const bool none = std::all_of(presses.begin(), presses.end(), [](const NamedPress& it) { return it.is_none(); });
  const auto with_press = [&](const std::string& option) {
    if (none) warn_if_given(command, option, "no press is asked for, and nothing is evicted");
  };
  for (const char* option : {"--budget", "--target-size", "--compression-interval", "--press-window-layers"})
    with_press(option);
  with_press(ratio_option);
  if (none) return;
  const bool by_ratio =
      std::any_of(presses.begin(), presses.end(), [](const NamedPress& it) { return it.uses_ratio(); });
  if (!by_ratio) warn_if_given(command, ratio_option, "the presses have budgets of their own");
  if (budget.compression_interval > 0) return;  // then the ratio is the prefill's, and the budget that of decode
  const std::string given = !budget.budget.empty() ? "--budget" : budget.target_size > 0 ? "--target-size" : "";
  if (!given.empty()) warn_if_given(command, ratio_option, given + " says what is kept");
}

void warn_of_void_cache_options(const CLI::App& command, const std::vector<std::string>& cache_dtypes) {
  const bool quantized = std::any_of(cache_dtypes.begin(), cache_dtypes.end(),
                                     [](const std::string& it) { return it == "int8" || it == "int4"; });
  if (!quantized) {
    warn_if_given(command, "--cache-residual",
                  fmt::format("a cache in {} is not quantized; use --cache-dtype int8 or int4, or remove it",
                              fmt::join(cache_dtypes, ", ")));
  }
}

void warn_of_void_text_options(const CLI::App& command, const TextOptions& texts) {
  const std::string name = texts.text.empty() ? texts.dataset : texts.text;
  const bool included = texts.text.empty() && is_included(name);
  const bool hub = texts.text.empty() && name.starts_with("hf:");
  if (!included && !hub) {  // of those that are included, others are refused
    for (const char* option : {"--dataset-config", "--split"}) {
      warn_if_given(command, option, fmt::format("{} is a file, which has no configurations or splits", name));
    }
  }
  const bool has_columns = hub || name.find(".jsonl") != std::string::npos;
  if (!has_columns) warn_if_given(command, "--text-column", fmt::format("{} has no columns to choose from", name));
}

void warn_of_void_sampling_options(const CLI::App& command, const GenerateSettings& settings) {
  if (settings.temperature > 0) return;
  for (const char* option : {"--top-k", "--top-p"}) {
    warn_if_given(command, option, "without a --temperature the most likely token is taken");
  }
}

}  // namespace kvpress
