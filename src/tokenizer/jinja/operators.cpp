#include "tokenizer/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tokenizer/jinja/python_format.h"
#include "tokenizer/jinja/text.h"

namespace kvpress::jinja {
namespace {

using Integer = std::int64_t;

[[noreturn]] void raise_operands(std::string_view operation, const Value& left, const Value& right) {
  raise("unsupported operand type(s) for {}: '{}' and '{}'", operation, left.type(), right.type());
}

[[noreturn]] void raise_too_large() { raise("an integer does not fit in 64 bits"); }

Integer power(Integer base, Integer exponent) {
  Integer result = 1;
  if (base == 0 || base == 1) return exponent == 0 ? 1 : base;
  if (base == -1) return exponent % 2 == 0 ? 1 : -1;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) raise_too_large();
  }
  return result;
}

Value floor_division(Integer a, Integer b, bool remainder) {
  if (b == 0) raise("integer division or modulo by zero");
  if (b == -1) {  // the smallest integer has no counterpart
    Integer negative = 0;
    if (remainder) return Integer{0};
    if (__builtin_sub_overflow(Integer{0}, a, &negative)) raise_too_large();
    return negative;
  }
  Integer quotient = a / b;
  Integer rest = a % b;
  if (rest != 0 && (rest < 0) != (b < 0)) {
    --quotient;
    rest += b;
  }
  return remainder ? rest : quotient;
}

Value integer_arithmetic(std::string_view operation, Integer a, Integer b) {
  Integer result = 0;
  bool too_large = false;
  if (operation == "+") {
    too_large = __builtin_add_overflow(a, b, &result);
  } else if (operation == "-") {
    too_large = __builtin_sub_overflow(a, b, &result);
  } else if (operation == "*") {
    too_large = __builtin_mul_overflow(a, b, &result);
  } else if (operation == "/") {
    if (b == 0) raise("division by zero");
    return static_cast<double>(a) / static_cast<double>(b);
  } else if (operation == "**") {
    if (b >= 0) return power(a, b);
    if (a == 0) raise("0.0 cannot be raised to a negative power");
    return std::pow(static_cast<double>(a), static_cast<double>(b));
  } else {
    return floor_division(a, b, operation == "%");
  }
  if (too_large) raise_too_large();
  return result;
}

Value float_arithmetic(std::string_view operation, double a, double b) {
  if (operation == "+") return a + b;
  if (operation == "-") return a - b;
  if (operation == "*") return a * b;
  if (operation == "**") {
    if (a == 0 && b < 0) raise("0.0 cannot be raised to a negative power");
    const double result = std::pow(a, b);
    if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) raise("the power is a complex number");
    if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) raise("the power is too large");
    return result;
  }
  if (b == 0) raise("float division by zero");
  if (operation == "/") return a / b;
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) {
    rest += b;
    quotient -= 1;
  }
  if (operation == "%") return rest == 0 ? std::copysign(0.0, b) : rest;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double whole = std::floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

Value joined(Runtime& runtime, const Value& left, const Value& right) {
  runtime.grow(left.text().size() + right.text().size());
  if (!left.is_markup() && !right.is_markup()) return runtime.text(std::string(left.text()).append(right.text()));
  const auto escaped = [](const Value& it) { return it.is_markup() ? std::string(it.text()) : escape(it.text()); };
  return runtime.text(escaped(left) + escaped(right), true);
}

Value joined_lists(Runtime& runtime, const List& left, const List& right) {
  runtime.grow((left.items.size() + right.items.size()) * sizeof(Value));
  std::vector<Value> items = left.items;
  items.insert(items.end(), right.items.begin(), right.items.end());
  return runtime.list(std::move(items), left.kind);
}

bool is_sequence(const Value& value) {
  return value.is_text() || value.is_list(List::Kind::list) || value.is_list(List::Kind::tuple);
}

/// -1, 0, 1; 2 if one is not a number.
int order_of_numbers(const Value& left, const Value& right) {
  if (!left.is_float() && !right.is_float()) {
    return left.integer() < right.integer() ? -1 : left.integer() > right.integer() ? 1 : 0;
  }
  const auto wide = [](const Value& it) {
    return it.is_float() ? static_cast<long double>(it.number()) : static_cast<long double>(it.integer());
  };
  const long double a = wide(left);
  const long double b = wide(right);
  return a < b ? -1 : a > b ? 1 : a == b ? 0 : 2;
}

void check_hashable(const Value& key) {
  if (key.is_list(List::Kind::list) || key.is_list(List::Kind::view) || key.is_dict()) {
    raise("unhashable type: '{}'", key.type());
  }
}

}  // namespace

Value arithmetic(Runtime& runtime, std::string_view operation, const Value& left, const Value& right) {
  runtime.step();
  if (left.is_text() && operation == "%") {
    return runtime.text(percent_format(runtime, left.text(), right), left.is_markup());
  }
  if (left.is_undefined()) left.raise_undefined();
  if (right.is_undefined()) right.raise_undefined();
  if (left.is_number() && right.is_number()) {
    return left.is_float() || right.is_float() ? float_arithmetic(operation, left.number(), right.number())
                                               : integer_arithmetic(operation, left.integer(), right.integer());
  }
  if (operation == "+" && left.is_text() && right.is_text()) return joined(runtime, left, right);
  if (operation == "+" && is_sequence(left) && is_sequence(right) && left.type() == right.type()) {
    return joined_lists(runtime, left.list(), right.list());
  }
  const bool right_is_integer = right.is_integer() || right.is_bool();
  if (operation == "*" && is_sequence(left) && right_is_integer) return repeated(runtime, left, right.integer());
  if (operation == "*" && is_sequence(right) && (left.is_integer() || left.is_bool())) {
    return repeated(runtime, right, left.integer());
  }
  raise_operands(operation, left, right);
}

Value repeated(Runtime& runtime, const Value& value, std::int64_t times) {
  const std::size_t n = times < 0 ? 0 : static_cast<std::size_t>(times);
  const std::size_t size = value.is_text() ? value.text().size() : value.list().items.size() * sizeof(Value);
  std::size_t total = 0;
  if (__builtin_mul_overflow(size, n, &total)) raise("makes too much text");
  runtime.grow(total);
  if (value.is_text()) {
    std::string text;
    text.reserve(total);
    for (std::size_t i = 0; i < n && size > 0; ++i) text += value.text();
    return runtime.text(std::move(text), value.is_markup());
  }
  std::vector<Value> items;
  for (std::size_t i = 0; i < n && size > 0; ++i) {
    items.insert(items.end(), value.list().items.begin(), value.list().items.end());
  }
  return runtime.list(std::move(items), value.list().kind);
}

Value signed_value(std::string_view operation, const Value& value) {
  if (value.is_undefined()) value.raise_undefined();
  if (!value.is_number()) raise("bad operand type for unary {}: '{}'", operation, value.type());
  if (value.is_float()) return operation == "-" ? -value.number() : value.number();
  return integer_arithmetic(operation, 0, value.integer());
}

bool is_equal(Runtime& runtime, const Value& left, const Value& right) {
  runtime.step();
  if (left.is_number() && right.is_number()) return order_of_numbers(left, right) == 0;
  if (left.is_text() && right.is_text()) {
    runtime.read(std::min(left.text().size(), right.text().size()));
    return left.text() == right.text();
  }
  if (left.is_none() || left.is_undefined()) return left.is_none() ? right.is_none() : right.is_undefined();
  if (left.is_list() && right.is_list()) {
    const auto& a = left.list().items;
    const auto& b = right.list().items;
    if (left.list().kind != right.list().kind || a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!a[i].is_same(b[i]) && !is_equal(runtime, a[i], b[i])) return false;
    }
    return true;
  }
  if (left.is_dict() && right.is_dict()) {
    if (left.dict().items.size() != right.dict().items.size()) return false;
    for (const auto& [key, value] : left.dict().items) {
      const Value* other = find_item(runtime, right.dict(), key);
      if (other == nullptr || !is_equal(runtime, value, *other)) return false;
    }
    return true;
  }
  return left.is_object() && left.is_same(right);
}

bool is_less(Runtime& runtime, const Value& left, const Value& right) {
  runtime.step();
  if (left.is_undefined()) left.raise_undefined();
  if (right.is_undefined()) right.raise_undefined();
  if (left.is_number() && right.is_number()) return order_of_numbers(left, right) == -1;
  if (left.is_text() && right.is_text()) {
    runtime.read(std::min(left.text().size(), right.text().size()));
    return left.text() < right.text();
  }
  if (!is_sequence(left) || !is_sequence(right) || left.type() != right.type()) {
    raise("'<' not supported between instances of '{}' and '{}'", left.type(), right.type());
  }
  const auto& a = left.list().items;
  const auto& b = right.list().items;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (!is_equal(runtime, a[i], b[i])) return is_less(runtime, a[i], b[i]);
  }
  return a.size() < b.size();
}

bool contains(Runtime& runtime, const Value& container, const Value& value) {
  if (container.is_text()) {
    if (!value.is_text()) raise("'in <string>' requires string as left operand, not {}", value.type());
    runtime.read(container.text().size() + value.text().size());
    return find(container.text(), value.text()) != std::string_view::npos;
  }
  if (container.is_dict()) return find_item(runtime, container.dict(), value) != nullptr;
  if (container.is_list()) {
    const auto& items = container.list().items;
    return std::any_of(items.begin(), items.end(), [&](const Value& it) { return is_equal(runtime, it, value); });
  }
  if (!container.is_undefined() && !container.is_object())
    raise("argument of type '{}' is not iterable", container.type());
  const auto items = items_of(runtime, container);
  return std::any_of(items.begin(), items.end(), [&](const Value& it) { return is_equal(runtime, it, value); });
}

bool compare(Runtime& runtime, std::string_view operation, const Value& left, const Value& right) {
  if (operation == "==") return is_equal(runtime, left, right);
  if (operation == "!=") return !is_equal(runtime, left, right);
  if (operation == "in") return contains(runtime, right, left);
  if (operation == "notin") return !contains(runtime, right, left);
  if (operation == "<") return is_less(runtime, left, right);
  if (operation == ">") return is_less(runtime, right, left);
  // Not the opposite of the other order: numbers may be nan.
  if (left.is_number() && right.is_number()) {
    const int order = order_of_numbers(left, right);
    return order == 0 || order == (operation == "<=" ? -1 : 1);
  }
  return operation == "<=" ? !is_less(runtime, right, left) : !is_less(runtime, left, right);
}

const Value* find_item(Runtime& runtime, const Dict& dict, std::string_view key) {
  runtime.step(1 + dict.items.size() / 16);
  for (const auto& [name, value] : dict.items) {
    if (name.is_text() && name.text() == key) return &value;
  }
  return nullptr;
}

const Value* find_item(Runtime& runtime, const Dict& dict, const Value& key) {
  if (key.is_text()) return find_item(runtime, dict, key.text());
  check_hashable(key);
  for (const auto& [name, value] : dict.items) {
    if (is_equal(runtime, name, key)) return &value;
  }
  return nullptr;
}

void set_item(Runtime& runtime, std::vector<std::pair<Value, Value>>& items, Value key, Value value) {
  check_hashable(key);
  for (auto& [name, old] : items) {
    if (!is_equal(runtime, name, key)) continue;
    old = std::move(value);
    return;
  }
  items.emplace_back(std::move(key), std::move(value));
}

bool find_item(Runtime& runtime, const Value& value, const Value& key, Value& found) {
  if (value.is_dict()) {
    if (key.is_list(List::Kind::list) || key.is_dict()) return false;  // no key can be a list
    const Value* item = find_item(runtime, value.dict(), key);
    if (item != nullptr) found = *item;
    return item != nullptr;
  }
  if (!value.is_text() && !value.is_list()) return false;
  if (value.is_list(List::Kind::view) || (!key.is_integer() && !key.is_bool())) return false;
  std::int64_t at = key.integer();
  const std::int64_t n = length_of(value);
  if (at < 0) at += n;
  if (at < 0 || at >= n) return false;
  if (value.is_list()) {
    found = value.list().items[static_cast<std::size_t>(at)];
    return true;
  }
  runtime.read(value.text().size());
  const std::size_t begin = byte_of_character(value.text(), at);
  const std::string_view rest = value.text().substr(begin);
  found = runtime.text(std::string(rest.substr(0, byte_of_character(rest, 1))), value.is_markup());
  return true;
}

Value slice_of(Runtime& runtime, const Value& value, const Value* begin, const Value* end, const Value* step) {
  if (value.is_undefined()) value.raise_undefined();
  if (!value.is_text() && (!value.is_list() || value.is_list(List::Kind::view))) {
    return runtime.undefined(fmt::format("'{}' object has no slices", value.type()));
  }
  const auto number = [](const Value* it, std::int64_t otherwise) {
    if (it == nullptr || it->is_none()) return otherwise;
    if (it->is_undefined()) it->raise_undefined();
    if (!it->is_integer() && !it->is_bool()) raise("slice indices must be integers or None, not '{}'", it->type());
    return it->integer();
  };
  const std::int64_t by = number(step, 1);
  if (by == 0) raise("slice step cannot be zero");
  runtime.read(value.is_text() ? value.text().size() : 0);
  const std::int64_t n = length_of(value);
  const std::int64_t low = by > 0 ? 0 : -1;
  const std::int64_t high = by > 0 ? n : n - 1;
  const auto clamped = [&](std::int64_t at) {
    if (at < 0) at += n;
    return std::clamp(at, low, high);
  };
  const std::int64_t none = std::numeric_limits<std::int64_t>::min();
  const std::int64_t given_begin = number(begin, none);
  const std::int64_t given_end = number(end, none);
  std::int64_t from =
      begin == nullptr || begin->is_none() ? (by > 0 ? low : high) : clamped(std::max(given_begin, -n - 1));
  const std::int64_t to =
      end == nullptr || end->is_none() ? (by > 0 ? high : low) : clamped(std::max(given_end, -n - 1));
  std::vector<std::int64_t> places;
  const std::int64_t stride = std::clamp(by, -n - 1, n + 1);
  if (value.is_text() && by == 1) {
    const std::size_t first = byte_of_character(value.text(), from);
    const std::string_view rest = value.text().substr(first);
    return runtime.text(std::string(rest.substr(0, byte_of_character(rest, to - from))), value.is_markup());
  }
  runtime.grow(static_cast<std::size_t>(n) * 24);
  for (; by > 0 ? from < to : from > to; from += stride) places.push_back(from);
  if (value.is_text()) {
    const auto all = characters(value.text());
    std::string text;
    for (const std::int64_t it : places) text += all[static_cast<std::size_t>(it)];
    return runtime.text(std::move(text), value.is_markup());
  }
  std::vector<Value> items;
  for (const std::int64_t it : places) items.push_back(value.list().items[static_cast<std::size_t>(it)]);
  return runtime.list(std::move(items), value.is_list(List::Kind::tuple) ? List::Kind::tuple : List::Kind::list);
}

std::int64_t length_of(const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_text()) return n_characters(value.text());
  if (value.is_list()) return static_cast<std::int64_t>(value.list().items.size());
  if (value.is_dict()) return static_cast<std::int64_t>(value.dict().items.size());
  raise("object of type '{}' has no len()", value.type());
}

}  // namespace kvpress::jinja
