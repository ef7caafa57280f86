// Filters that choose and convert single values, and the lookup of all filters.
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/operators.h"
#include "tokenizer/jinja/python_text.h"
#include "tokenizer/jinja/text.h"

namespace kvpress::jinja {
namespace {

Value default_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("default", arguments, {"default_value", "boolean"});
  if (!value.is_undefined() && (!bound.truth(1, false) || is_true(value))) return value;
  return bound.has(0) ? bound.at(0) : runtime.text("");
}

Value attr(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("attr", arguments, {"name"}, 1);
  const Value found = attribute_of(runtime, value, bound.text(0));
  // Attributes only, not the items of a dict.
  return value.is_dict() && !found.object_as<Object>() ? runtime.undefined("'dict object' has no such attribute")
                                                       : found;
}

Value abs_filter(Runtime&, const Value& value, const Arguments& arguments) {
  const Bound bound("abs", arguments, {});
  if (value.is_undefined()) value.raise_undefined();
  if (!value.is_number()) raise("bad operand type for abs(): '{}'", value.type());
  if (value.is_float()) return std::fabs(value.number());
  return value.integer() < 0 ? signed_value("-", value) : Value(value.integer());
}

/// Digits without the underscores between them; nothing if the underscores are elsewhere.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || !std::isalnum(static_cast<unsigned char>(text[i - 1])) ||
               !std::isalnum(static_cast<unsigned char>(text[i + 1]))) {
      return {};
    }
  }
  return out;
}

/// As Python's int(text, base).
std::optional<std::int64_t> parse_integer(std::string_view text, std::int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) raise("int() base must be >= 2 and <= 36, or 0");
  text = strip(text);
  const bool negative = !text.empty() && text[0] == '-';
  if (negative || (!text.empty() && text[0] == '+')) text.remove_prefix(1);
  if (text.size() > 2 && text[0] == '0') {
    const char letter = static_cast<char>(text[1] | 0x20);
    const int own = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (own != 0 && (base == 0 || base == own)) {
      base = own;
      text.remove_prefix(text[2] == '_' ? 3 : 2);
    }
  }
  const auto digits = without_underscores(text);
  if (!digits || digits->empty() || digits->front() == '-') return {};
  if (base == 0 && digits->size() > 1 && digits->front() == '0' && digits->find_first_not_of('0') != std::string::npos)
    return {};
  std::int64_t value = 0;
  const std::string all = (negative ? "-" : "") + *digits;
  const auto [end, error] =
      std::from_chars(all.data(), all.data() + all.size(), value, base == 0 ? 10 : static_cast<int>(base));
  if (end != all.data() + all.size()) return {};
  if (error != std::errc()) raise("an integer does not fit in 64 bits");
  return value;
}

/// As Python's float(text).
std::optional<double> parse_float(std::string_view text) {
  text = strip(text);
  const bool negative = !text.empty() && text[0] == '-';
  if (negative || (!text.empty() && text[0] == '+')) text.remove_prefix(1);
  const auto digits = without_underscores(text);
  if (!digits || digits->empty() || digits->front() == '-' || digits->find('(') != std::string::npos) return {};
  double value = 0;
  const auto [end, error] = std::from_chars(digits->data(), digits->data() + digits->size(), value);
  if (end != digits->data() + digits->size()) return {};
  if (error == std::errc::result_out_of_range) {
    const std::size_t e = digits->find_first_of("eE");
    value = e != std::string::npos && (*digits)[e + 1] == '-' ? 0 : HUGE_VAL;
  }
  return negative ? -value : value;
}

Value truncated(double value) {
  if (std::isinf(value)) raise("cannot convert float infinity to integer");
  if (!(std::fabs(value) < 9.2e18)) raise("an integer does not fit in 64 bits");
  return static_cast<std::int64_t>(value);
}

Value int_filter(Runtime&, const Value& value, const Arguments& arguments) {
  const Bound bound("int", arguments, {"default", "base"});
  const Value otherwise = bound.has(0) ? bound.at(0) : Value(std::int64_t{0});
  if (value.is_undefined()) value.raise_undefined();
  if (value.is_integer() || value.is_bool()) return value.integer();
  if (value.is_float()) return std::isnan(value.number()) ? otherwise : truncated(value.number());
  if (!value.is_text()) return otherwise;
  if (const auto number = parse_integer(value.text(), bound.integer(1, 10))) return *number;
  const auto number = parse_float(value.text());
  return number && std::isfinite(*number) ? truncated(*number) : otherwise;
}

Value float_filter(Runtime&, const Value& value, const Arguments& arguments) {
  const Bound bound("float", arguments, {"default"});
  const Value otherwise = bound.has(0) ? bound.at(0) : Value(0.0);
  if (value.is_undefined()) value.raise_undefined();
  if (value.is_number()) return value.number();
  const auto number = value.is_text() ? parse_float(value.text()) : std::nullopt;
  return number ? Value(*number) : otherwise;
}

/// Half to even, as Python's round().
Value rounded(const Value& value, std::int64_t precision) {
  const double factor = std::pow(10.0, static_cast<double>(-precision));
  if (!value.is_float()) {
    if (precision >= 0) return value.integer();
    if (precision < -18) return std::int64_t{0};
    const auto unit = static_cast<std::int64_t>(factor);
    const std::int64_t rest = (value.integer() % unit + unit) % unit;
    std::int64_t low = value.integer() - rest;
    if (rest * 2 > unit || (rest * 2 == unit && (low / unit) % 2 != 0)) low += unit;
    return low;
  }
  if (!std::isfinite(value.number()) || precision > 323) return value;
  if (precision < -308) return std::copysign(0.0, value.number());
  if (precision < 0) return std::nearbyint(value.number() / factor) * factor;
  return std::stod(fmt::format("{:.{}f}", value.number(), precision));
}

Value round_filter(Runtime&, const Value& value, const Arguments& arguments) {
  const Bound bound("round", arguments, {"precision", "method"});
  const std::string_view method = bound.text(1, "common");
  const std::int64_t precision = bound.integer(0, 0);
  if (value.is_undefined()) value.raise_undefined();
  if (!value.is_number()) raise("type {} doesn't define __round__ method", value.type());
  if (method == "common") return rounded(value, precision);
  if (method != "ceil" && method != "floor") raise("method must be common, ceil or floor");
  const double factor = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value.number() * factor;
  return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / factor;
}

}  // namespace

const Table& value_filters() {
  static const Table kFilters = {{"abs", abs_filter},         {"attr", attr},          {"d", default_filter},
                                 {"default", default_filter}, {"float", float_filter}, {"int", int_filter},
                                 {"round", round_filter}};
  return kFilters;
}

Filter find_filter(std::string_view name) {
  static const auto kAll = [] {
    std::map<std::string_view, Filter> all;
    for (const Table* table : {&text_filters(), &list_filters(), &selecting_filters(), &value_filters()}) {
      all.insert(table->begin(), table->end());
    }
    return all;
  }();
  const auto it = kAll.find(name);
  return it == kAll.end() ? nullptr : it->second;
}

Filter known_filter(std::string_view name) {
  const Filter filter = find_filter(name);
  if (filter == nullptr) raise("No filter named '{}'", name);
  return filter;
}

}  // namespace kvpress::jinja
