#include "tokenizer/jinja/python_format.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "tokenizer/jinja/operators.h"
#include "tokenizer/jinja/python_text.h"
#include "tokenizer/jinja/text.h"

namespace kvpress::jinja {
namespace {

constexpr int kMostDigits = 1000;  // of a width or precision

struct Layout {
  std::string fill = " ";
  char align = 0;  ///< < > ^ =, 0: the type's own
  char sign = '-';
  bool alternate = false;
  bool comma = false;
  int width = 0;
  int precision = -1;
  char type = 0;
};

int read_number(std::string_view text, std::size_t& at) {
  int value = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
    value = value * 10 + (text[at] - '0');
    if (value > kMostDigits) raise("a width or precision in a format is above {}", kMostDigits);
  }
  return value;
}

std::string aligned(const std::string& sign, const std::string& body, const Layout& layout, char own_align) {
  const auto length = n_characters(sign) + n_characters(body);
  const auto missing = static_cast<std::size_t>(std::max<std::int64_t>(0, layout.width - length));
  const char align = layout.align == 0 ? own_align : layout.align;
  const std::size_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string before;
  std::string after;
  for (std::size_t i = 0; i < missing; ++i) (i < left ? before : after) += layout.fill;
  return align == '=' ? sign + before + body : before + sign + body + after;
}

void group_by_thousands(std::string& body) {
  std::size_t whole = 0;
  while (whole < body.size() && body[whole] >= '0' && body[whole] <= '9') ++whole;
  for (std::size_t at = whole; at > 3; at -= 3) body.insert(at - 3, ",");
}

std::string sign_of(bool negative, const Layout& layout) {
  return negative ? "-" : layout.sign == '+' ? "+" : layout.sign == ' ' ? " " : "";
}

std::string formatted_float(double value, Layout layout) {
  const bool negative = std::signbit(value);
  const double size = std::fabs(value);
  std::string body;
  const int precision = layout.precision < 0 ? 6 : layout.precision;
  switch (layout.type) {
    case 'f':
    case 'F':
      body = fmt::format("{:.{}f}", size, precision);
      break;
    case 'e':
      body = fmt::format("{:.{}e}", size, precision);
      break;
    case 'E':
      body = fmt::format("{:.{}E}", size, precision);
      break;
    case 'g':
      body = fmt::format("{:.{}g}", size, std::max(precision, 1));
      break;
    case 'G':
      body = fmt::format("{:.{}G}", size, std::max(precision, 1));
      break;
    case '%':
      body = fmt::format("{:.{}f}%", size * 100, precision);
      break;
    case 0:
      if (layout.precision < 0) {
        body = repr_of_float(size);
      } else {
        body = fmt::format("{:.{}g}", size, std::max(layout.precision, 1));
        if (body.find_first_of(".en") == std::string::npos) body += ".0";
      }
      break;
    default:
      raise("Unknown format code '{}' for a float", layout.type);
  }
  if (layout.comma) group_by_thousands(body);
  return aligned(sign_of(negative, layout), body, layout, '>');
}

std::string formatted_integer(std::int64_t value, const Layout& layout) {
  const bool negative = value < 0;
  const std::uint64_t size = negative ? ~static_cast<std::uint64_t>(value) + 1 : static_cast<std::uint64_t>(value);
  std::string body;
  std::string prefix;
  switch (layout.type) {
    case 0:
    case 'd':
    case 'n':
      body = fmt::format("{}", size);
      break;
    case 'x':
      body = fmt::format("{:x}", size), prefix = "0x";
      break;
    case 'X':
      body = fmt::format("{:X}", size), prefix = "0X";
      break;
    case 'o':
      body = fmt::format("{:o}", size), prefix = "0o";
      break;
    case 'b':
      body = fmt::format("{:b}", size), prefix = "0b";
      break;
    case 'c':
      raise("the format code 'c' is not supported");
    default:
      return formatted_float(static_cast<double>(value), layout);
  }
  if (layout.precision >= 0) raise("Precision not allowed in integer format specifier");
  if (layout.comma) group_by_thousands(body);
  return aligned(sign_of(negative, layout) + (layout.alternate ? prefix : ""), body, layout, '>');
}

std::string formatted_text(std::string_view text, const Layout& layout) {
  if (layout.type != 0 && layout.type != 's') raise("Unknown format code '{}' for object of type 'str'", layout.type);
  if (layout.precision >= 0) text = text.substr(0, byte_of_character(text, layout.precision));
  return aligned("", std::string(text), layout, '<');
}

/// What follows the colon in "{:>8.2f}".
Layout read_layout(std::string_view spec) {
  Layout layout;
  constexpr std::string_view kAligns = "<>=^";
  const std::size_t first = byte_of_character(spec, 1);
  std::size_t at = 0;
  if (first < spec.size() && kAligns.find(spec[first]) != std::string_view::npos) {
    layout.fill = std::string(spec.substr(0, first));
    layout.align = spec[first];
    at = first + 1;
  } else if (!spec.empty() && kAligns.find(spec[0]) != std::string_view::npos) {
    layout.align = spec[at++];
  }
  const auto next_is = [&](std::string_view any) {
    return at < spec.size() && any.find(spec[at]) != std::string_view::npos;
  };
  if (next_is("+- ")) layout.sign = spec[at++];
  if (next_is("#")) layout.alternate = true, ++at;
  if (next_is("0")) {
    ++at;
    if (layout.align == 0) layout.align = '=', layout.fill = "0";
  }
  layout.width = read_number(spec, at);
  if (next_is(",")) layout.comma = true, ++at;
  if (next_is(".")) {
    ++at;
    if (!next_is("0123456789")) raise("Format specifier missing precision");
    layout.precision = read_number(spec, at);
  }
  if (at < spec.size()) layout.type = spec[at++];
  if (at != spec.size()) raise("Invalid format specifier '{}'", spec);
  return layout;
}

std::string formatted(Runtime& runtime, const Value& value, std::string_view spec) {
  const Layout layout = read_layout(spec);
  if (value.is_float()) return formatted_float(value.number(), layout);
  if (value.is_integer() || (value.is_bool() && !spec.empty())) return formatted_integer(value.integer(), layout);
  if (!value.is_text() && !value.is_bool() && !spec.empty()) {
    raise("unsupported format string passed to {}.__format__", value.type());
  }
  return formatted_text(shown(runtime, value), layout);
}

/// `0.name[key]` of "{0.name[key]}".
Value field_value(Runtime& runtime, std::string_view field, const Arguments& arguments, std::size_t& n_automatic) {
  const std::size_t end = std::min(field.find_first_of(".["), field.size());
  const std::string_view name = field.substr(0, end);
  std::optional<Value> value;
  if (name.empty() || name.find_first_not_of("0123456789") == std::string_view::npos) {
    std::size_t at = 0;
    const std::size_t number = name.empty() ? n_automatic++ : static_cast<std::size_t>(read_number(name, at));
    if (number >= arguments.positional.size()) raise("a format refers to a value that is not given");
    value = arguments.positional[number];
  } else {
    for (const auto& [key, it] : arguments.named) {
      if (key == name) value = it;
    }
    if (!value) raise("a format refers to '{}', which is not given", name);
  }
  for (field.remove_prefix(end); !field.empty();) {
    const bool bracket = field[0] == '[';
    const std::size_t stop = bracket ? field.find(']') : std::min(field.find_first_of(".[", 1), field.size());
    if (stop == std::string_view::npos) raise("Missing ']' in format string");
    const std::string_view key = field.substr(1, stop - 1);
    std::size_t at = 0;
    const bool is_number = !key.empty() && key.find_first_not_of("0123456789") == std::string_view::npos;
    value = !bracket    ? attribute_of(runtime, *value, key)
            : is_number ? item_of(runtime, *value, std::int64_t{read_number(key, at)})
                        : item_of(runtime, *value, runtime.text(std::string(key)));
    field.remove_prefix(bracket ? stop + 1 : stop);
  }
  return *value;
}

std::string converted(Runtime& runtime, char conversion, const Value& value) {
  if (conversion == 's') return shown(runtime, value);
  if (conversion == 'r') return repr(runtime, value);
  raise("Unknown conversion specifier '{}'", conversion);
}

}  // namespace

std::string percent_format(Runtime& runtime, std::string_view format, const Value& values) {
  std::string out;
  const bool is_tuple = values.is_list(List::Kind::tuple);
  std::size_t n_used = 0;
  const auto next = [&]() -> const Value& {
    const std::size_t n = is_tuple ? values.list().items.size() : 1;
    if (n_used >= n) raise("not enough arguments for format string");
    ++n_used;
    return is_tuple ? values.list().items[n_used - 1] : values;
  };
  for (std::size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      const std::size_t end = std::min(format.find('%', at), format.size());
      out += format.substr(at, end - at);
      at = end;
      continue;
    }
    ++at;
    const Value* value = nullptr;
    if (at < format.size() && format[at] == '(') {
      const std::size_t end = format.find(')', at);
      if (end == std::string_view::npos) raise("incomplete format key");
      if (!values.is_dict()) raise("format requires a mapping");
      value = find_item(runtime, values.dict(), format.substr(at + 1, end - at - 1));
      if (value == nullptr) raise("a format refers to '{}', which is not given", format.substr(at + 1, end - at - 1));
      at = end + 1;
    }
    Layout layout;
    for (; at < format.size(); ++at) {
      if (format[at] == '-')
        layout.align = '<', layout.fill = " ";
      else if (format[at] == '0' && layout.align == 0)
        layout.align = '=', layout.fill = "0";
      else if (format[at] == '+' || (format[at] == ' ' && layout.sign != '+'))
        layout.sign = format[at];
      else if (format[at] == '#')
        layout.alternate = true;
      else if (format[at] != '0' && format[at] != ' ')
        break;
    }
    if (at < format.size() && format[at] == '*') raise("'*' in a format is not supported");
    layout.width = read_number(format, at);
    if (at < format.size() && format[at] == '.') layout.precision = read_number(format, ++at);
    if (at >= format.size()) raise("incomplete format");
    const char type = format[at++];
    if (type == '%') {
      out += '%';
      continue;
    }
    if (value == nullptr) value = &next();
    std::string piece;
    if (type == 's' || type == 'r') {
      if (layout.align == '=') layout.align = '>', layout.fill = " ";
      if (layout.align == 0) layout.align = '>';
      piece = formatted_text(type == 's' ? shown(runtime, *value) : repr(runtime, *value), layout);
    } else if (std::string_view("diuxXofFeEgG").find(type) != std::string_view::npos) {
      if (value->is_undefined()) value->raise_undefined();
      if (!value->is_number()) raise("%{} format: a real number is required, not {}", type, value->type());
      const bool real = std::string_view("fFeEgG").find(type) != std::string_view::npos;
      if (!real && value->is_float() &&
          (std::string_view("xXo").find(type) != std::string_view::npos || !(std::fabs(value->number()) < 9e18))) {
        raise("%{} format: an integer is required, not float", type);
      }
      layout.type = type == 'i' || type == 'u' ? 'd' : type;
      if (!real) layout.precision = -1;
      piece = real ? formatted_float(value->number(), layout)
                   : formatted_integer(
                         value->is_float() ? static_cast<std::int64_t>(value->number()) : value->integer(), layout);
    } else {
      raise("unsupported format character '{}'", type);
    }
    runtime.grow(piece.size());
    out += piece;
  }
  if (is_tuple && n_used < values.list().items.size()) raise("not all arguments converted during string formatting");
  if (!is_tuple && n_used == 0 && !values.is_dict() && !values.is_list(List::Kind::list)) {
    raise("not all arguments converted during string formatting");
  }
  return out;
}

std::string brace_format(Runtime& runtime, std::string_view format, const Arguments& arguments) {
  std::string out;
  std::size_t n_automatic = 0;
  for (std::size_t at = 0; at < format.size();) {
    const char c = format[at];
    if (c != '{' && c != '}') {
      const std::size_t end = std::min(format.find_first_of("{}", at), format.size());
      out += format.substr(at, end - at);
      at = end;
      continue;
    }
    if (at + 1 < format.size() && format[at + 1] == c) {
      out += c;
      at += 2;
      continue;
    }
    if (c == '}') raise("Single '}}' encountered in format string");
    const std::size_t end = format.find('}', at);
    if (end == std::string_view::npos) raise("expected '}}' before end of string");
    std::string_view field = format.substr(at + 1, end - at - 1);
    if (field.find('{') != std::string_view::npos) raise("a format inside a format is not supported");
    at = end + 1;
    const std::size_t colon = field.find(':');
    const std::string_view spec = colon == std::string_view::npos ? "" : field.substr(colon + 1);
    field = field.substr(0, colon);
    const std::size_t mark = field.find('!');
    const std::string_view conversion = mark == std::string_view::npos ? "" : field.substr(mark + 1);
    if (mark != std::string_view::npos && conversion.size() != 1) raise("end of string while looking for conversion");
    const Value value = field_value(runtime, field.substr(0, mark), arguments, n_automatic);
    const std::string piece = conversion.empty()
                                  ? formatted(runtime, value, spec)
                                  : formatted_text(converted(runtime, conversion[0], value), read_layout(spec));
    runtime.grow(piece.size());
    out += piece;
  }
  return out;
}

}  // namespace kvpress::jinja
