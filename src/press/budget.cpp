#include "kvpress/press/budget.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "kvpress/base/error.h"
#include "kvpress/base/memory.h"

namespace kvpress {
namespace {

constexpr std::array<std::pair<std::string_view, std::size_t>, 6> kUnits = {{{"KiB", std::size_t{1} << 10},
                                                                             {"MiB", std::size_t{1} << 20},
                                                                             {"GiB", std::size_t{1} << 30},
                                                                             {"KB", 1'000},
                                                                             {"MB", 1'000'000},
                                                                             {"GB", 1'000'000'000}}};

}  // namespace

Budget Budget::in_tokens(const CacheShape& shape, std::size_t taken) const {
  if (!bytes) return *this;
  const std::int64_t n = *bytes > taken ? KVCache::tokens_within(shape, *bytes - taken) : 0;
  if (n < 1) {
    fail_setting("budget", "{} are less than a cache with one token a head takes here{}; at least {} are needed",
                 format_bytes(static_cast<double>(*bytes)), taken > 0 ? ", beside layers with windows" : "",
                 format_bytes(static_cast<double>(taken + KVCache::most_bytes(shape, 1))));
  }
  return of_tokens(n);
}

std::int64_t Budget::n_kept(std::int64_t n_seen) const {
  if (target_size) return *target_size;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(n_seen) * (1.0 - ratio)));
}

Budget parse_budget(std::string_view text, std::string_view setting) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  const auto fail_unknown = [&] {
    fail_usage(
        "{}: '{}' is no budget; give a ratio in [0, 1) like 0.5, a number of tokens like 2048, or bytes like 64MiB",
        setting, text);
  };
  if (error != std::errc() || !std::isfinite(number) || number < 0) fail_unknown();
  if (unit.empty()) {
    if (number < 1) return Budget::of_ratio(number);
    if (number != std::floor(number) || number > 2147483647) fail_unknown();
    return Budget::of_tokens(static_cast<std::int64_t>(number));
  }
  for (const auto& [name, size] : kUnits) {
    const double bytes = std::floor(number * static_cast<double>(size));
    if (name == unit && bytes >= 1 && bytes < 9e18) return Budget::of_bytes(static_cast<std::size_t>(bytes));
  }
  fail_unknown();
  return {};
}

std::string to_string(const Budget& budget) {
  if (budget.target_size) return fmt::format("{}", *budget.target_size);
  if (!budget.bytes) return fmt::format("{}", budget.ratio);
  const std::size_t bytes = *budget.bytes;
  for (std::size_t i = 3; i-- > 0;) {
    if (bytes % kUnits[i].second == 0) return fmt::format("{}{}", bytes / kUnits[i].second, kUnits[i].first);
  }
  return fmt::format("{}KiB", static_cast<double>(bytes) / 1024);
}

}  // namespace kvpress
