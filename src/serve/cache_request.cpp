#include "serve/cache_request.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <utility>

#include "serve/api_error.h"

namespace kvpress::serve {
namespace {

constexpr std::size_t kLongestPress = 2000;
constexpr std::size_t kMostPresses = 256;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 40;

/// Whether a press in this notation reads a file: a client must not choose what the server opens.
bool names_file(std::string text) {
  std::erase_if(text, [](unsigned char c) { return std::isspace(c) != 0; });
  return text.find("file=") != std::string::npos;
}

/// Runs `body`; what the library says of a setting becomes the error of a field.
template <typename Body>
auto of_field(const std::string& param, Body&& body) {
  try {
    return body();
  } catch (const UsageError& error) {
    throw ApiError(400, "invalid_request_error", "", param, error.what());
  }
}

/// The budgets that a request gives, if it gives any.
void read_budgets(Fields& fields, const CacheDefaults& defaults, CompressionSettings& settings, bool own_press) {
  const bool gives_ratio = fields.find("compression_ratio") != nullptr;
  const double ratio = fields.number("compression_ratio", defaults.ratio, 0, std::nextafter(1.0, 0.0));
  const std::optional<std::int64_t> target = fields.integer("target_size", 1, kMostTokens);
  const std::optional<std::string> budget = fields.text("budget");
  const std::optional<std::int64_t> interval = fields.integer("compression_interval", 0, kMostTokens);
  if ((gives_ratio ? 1 : 0) + (target ? 1 : 0) + (budget ? 1 : 0) > 1 &&
      !(interval && gives_ratio && !(target && budget))) {
    fail_field(fields.name_of(budget ? "budget" : "target_size"),
               "give one of compression_ratio, target_size and budget");
  }
  if (!gives_ratio && !target && !budget && !interval) {
    if (own_press) settings.set_budgets(defaults.ratio, {}, 0);
    return;
  }
  Budget fixed;
  if (target) fixed = Budget::of_tokens(*target);
  if (budget) fixed = of_field(fields.name_of("budget"), [&] { return parse_budget(*budget, "kvpress.budget"); });
  const double share = budget && !fixed.is_fixed() ? fixed.ratio : ratio;
  of_field(fields.name_of("compression_interval"),
           [&] { settings.set_budgets(share, fixed.is_fixed() ? fixed : Budget(), interval.value_or(0)); });
}

}  // namespace

PressBook::PressBook(const ModelConfig& config, std::string model_name, const Tokenizer& tokenizer, NamedPress own)
    : config_(config), model_name_(std::move(model_name)), tokenizer_(tokenizer), own_(std::move(own)) {}

NamedPress PressBook::find(const std::string& text, const std::string& param) {
  if (text == own_.text) return own_;
  if (text.size() > kLongestPress)
    fail_field(param, "has {} bytes; at most {} are possible", text.size(), kLongestPress);
  if (names_file(text)) fail_field(param, "only the server's own press may read a file");
  const std::scoped_lock lock(mutex_);
  if (const auto found = presses_.find(text); found != presses_.end()) return found->second;
  const NamedPress press = of_field(param, [&] {
    NamedPress parsed = parse_press(text);
    parsed.prepare({config_, model_name_, &tokenizer_});
    return parsed;
  });
  if (presses_.size() >= kMostPresses) presses_.clear();
  presses_[text] = press;
  return press;
}

CacheRequest read_cache_request(const Json* field, const CacheDefaults& defaults, PressBook& presses,
                                const ModelConfig& config) {
  CacheRequest request;
  request.compression = defaults.compression;
  if (field != nullptr) {
    Fields fields(*field, "kvpress");
    CompressionSettings& settings = request.compression;
    const std::optional<std::string> press = fields.text("press");
    if (press) settings.press = presses.find(*press, "kvpress.press");
    read_budgets(fields, defaults, settings, press.has_value());
    if (const auto dtype = fields.text("cache_dtype")) {
      settings.cache_format = of_field("kvpress.cache_dtype", [&] {
        CacheFormat format = parse_cache_format(*dtype, defaults.compression.cache_format.type, "kvpress.cache_dtype");
        format.residual = defaults.compression.cache_format.residual;
        return format;
      });
    }
    settings.cache_format.residual = fields.integer("cache_residual", settings.cache_format.residual, 0, kMostTokens);
    if (const auto positions = fields.text("positions")) {
      settings.positions =
          of_field("kvpress.positions", [&] { return parse_positions(*positions, "kvpress.positions", config); });
    }
    settings.seed = static_cast<std::uint64_t>(
        fields.integer("seed", static_cast<std::int64_t>(settings.seed), 0, std::numeric_limits<std::int64_t>::max()));
    request.chunk_size = fields.integer("chunk_size", 0, 1, kMostTokens);
    request.context_tokens = fields.integer("context_tokens", 1, kMostTokens);
    request.context = fields.text("context", "");
    request.held = fields.boolean("held", false);
    fields.refuse_others();
    if (request.chunk_size > 0 && request.context_tokens) {
      fail_field("kvpress.context_tokens", "give it or chunk_size, not both");
    }
    if (!request.context.empty()) {
      for (const auto& item : field->items()) {
        if (item.key() != "context" && item.key() != "held" && !item.value().is_null()) {
          fail_field("kvpress." + item.key(), "a context was compressed when it was made; leave it out");
        }
      }
    }
  }
  if (request.compression.press.is_none()) request.compression = request.compression.without_press();
  request.key = settings_key(request.compression);
  return request;
}

std::string settings_key(const CompressionSettings& settings) {
  return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", settings.press.text, to_string(settings.budget),
                     settings.compression_interval, to_string(settings.decoding_budget), to_string(settings.positions),
                     settings.press_window_layers, to_string(settings.cache_format.type), settings.cache_format.bits,
                     settings.cache_format.residual, settings.seed);
}

}  // namespace kvpress::serve
