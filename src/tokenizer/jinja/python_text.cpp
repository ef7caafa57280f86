#include "tokenizer/jinja/python_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tokenizer/jinja/operators.h"
#include "tokenizer/jinja/text.h"
#include "tokenizer/unicode.h"

namespace kvpress::jinja {
namespace {

std::string repr_of_text(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const char32_t code = next_code_point(text, at);
    if (code == '\\' || code == static_cast<char32_t>(quote)) {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n') {
      out += "\\n";
    } else if (code == '\r') {
      out += "\\r";
    } else if (code == '\t') {
      out += "\\t";
    } else if (is_printable(code)) {
      append_utf8(out, code);
    } else if (code < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(code));
    } else if (code < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(code));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<unsigned>(code));
    }
  }
  return out += quote;
}

class Writer {
 public:
  explicit Writer(Runtime& runtime) : runtime_(runtime) {}
  std::string take() { return std::move(out_); }

 protected:
  void put(std::string_view text) {
    runtime_.grow(text.size());
    out_ += text;
  }
  Runtime& runtime_;
  std::string out_;
};

class ReprWriter : public Writer {
 public:
  using Writer::Writer;

  void write(const Value& value) {
    if (value.is_list()) {
      write_list(value.list());
    } else if (value.is_dict()) {
      put("{");
      const auto& items = value.dict().items;
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (i > 0) put(", ");
        write(items[i].first);
        put(": ");
        write(items[i].second);
      }
      put("}");
    } else {
      write_single(value);
    }
  }

 private:
  void write_list(const List& list) {
    const bool is_tuple = list.kind == List::Kind::tuple;
    if (list.kind == List::Kind::range) return put(list.shown);
    if (list.kind == List::Kind::view) put(list.shown + "(");
    put(is_tuple ? "(" : "[");
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) put(", ");
      write(list.items[i]);
    }
    if (is_tuple && list.items.size() == 1) put(",");
    put(is_tuple ? ")" : "]");
    if (list.kind == List::Kind::view) put(")");
  }

  void write_single(const Value& value) {
    if (value.is_none()) return put("None");
    if (value.is_undefined()) return put("Undefined");
    if (value.is_bool()) return put(value.boolean() ? "True" : "False");
    if (value.is_integer()) return put(fmt::format("{}", value.integer()));
    if (value.is_float()) return put(repr_of_float(value.number()));
    if (value.is_object()) {
      const Runtime::Level level(runtime_);  // a namespace may hold itself
      return put(value.object().shown(runtime_));
    }
    runtime_.read(value.text().size());
    put(value.is_markup() ? "Markup(" + repr_of_text(value.text()) + ")" : repr_of_text(value.text()));
  }
};

class JsonWriter : public Writer {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : Writer(runtime), style_(style) {}

  void write(const Value& value, int level) {
    if (value.is_none()) return put("null");
    if (value.is_bool()) return put(value.boolean() ? "true" : "false");
    if (value.is_integer()) return put(fmt::format("{}", value.integer()));
    if (value.is_float()) return put(float_text(value.number()));
    if (value.is_text()) return write_text(value.text());
    if (value.is_list(List::Kind::list) || value.is_list(List::Kind::tuple)) {
      const auto& items = value.list().items;
      if (items.empty()) return put("[]");
      put("[");
      for (std::size_t i = 0; i < items.size(); ++i) {
        begin_item(i, level + 1);
        write(items[i], level + 1);
      }
      return end("]", level);
    }
    if (value.is_dict()) return write_dict(value.dict(), level);
    raise("Object of type {} is not JSON serializable", value.type());
  }

 private:
  static std::string float_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return repr_of_float(value);
  }

  void new_line(int level) {
    if (!style_.indent) return;
    put("\n");
    for (int i = 0; i < level; ++i) put(*style_.indent);
  }
  void begin_item(std::size_t i, int level) {
    if (i > 0) put(style_.item_separator);
    new_line(level);
  }
  void end(std::string_view bracket, int level) {
    new_line(level);
    put(bracket);
  }

  void write_dict(const Dict& dict, int level) {
    if (dict.items.empty()) return put("{}");
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& it : dict.items) items.push_back(&it);
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(),
                       [&](const auto* a, const auto* b) { return is_less(runtime_, a->first, b->first); });
    }
    put("{");
    for (std::size_t i = 0; i < items.size(); ++i) {
      begin_item(i, level + 1);
      const Value& key = items[i]->first;
      if (key.is_text()) {
        write_text(key.text());
      } else if (key.is_none() || key.is_number()) {
        put("\"");
        write(key, level);
        put("\"");
      } else {
        raise("keys must be str, int, float, bool or None, not {}", key.type());
      }
      put(style_.key_separator);
      write(items[i]->second, level + 1);
    }
    end("}", level);
  }

  void write_text(std::string_view text) {
    std::string piece = "\"";
    const auto escaped = [&](char32_t unit) { piece += fmt::format("\\u{:04x}", static_cast<unsigned>(unit)); };
    for (std::size_t at = 0; at < text.size();) {
      const char32_t code = next_code_point(text, at);
      switch (code) {
        case '"':
          piece += "\\\"";
          continue;
        case '\\':
          piece += "\\\\";
          continue;
        case '\n':
          piece += "\\n";
          continue;
        case '\r':
          piece += "\\r";
          continue;
        case '\t':
          piece += "\\t";
          continue;
        case '\b':
          piece += "\\b";
          continue;
        case '\f':
          piece += "\\f";
          continue;
        default:
          break;
      }
      if (code < 0x20 || (style_.ascii && code >= 0x7f && code < 0x10000)) {
        escaped(code);
      } else if (style_.ascii && code >= 0x10000) {  // as two surrogates
        escaped(0xd800 + ((code - 0x10000) >> 10));
        escaped(0xdc00 + ((code - 0x10000) & 0x3ff));
      } else {
        append_utf8(piece, code);
      }
    }
    put(piece += '"');
  }

  const JsonStyle& style_;
};

}  // namespace

std::string repr_of_float(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string text(buffer, end);
  const std::size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  if (exponent < -4 || exponent >= 16) return text;
  std::string digits = text.substr(0, e);
  const bool negative = digits[0] == '-';
  if (negative) digits.erase(0, 1);
  digits.erase(std::remove(digits.begin(), digits.end(), '.'), digits.end());
  if (exponent < 0) {
    digits = "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  } else {
    const auto whole = static_cast<std::size_t>(exponent) + 1;
    if (digits.size() <= whole) digits.append(whole - digits.size(), '0').append("0");
    digits.insert(whole, ".");
  }
  return (negative ? "-" : "") + digits;
}

std::string repr(Runtime& runtime, const Value& value) {
  ReprWriter writer(runtime);
  writer.write(value);
  return writer.take();
}

std::string shown(Runtime& runtime, const Value& value) {
  if (value.is_text()) return std::string(value.text());
  if (value.is_undefined()) return {};
  return repr(runtime, value);
}

std::string json_of(Runtime& runtime, const Value& value, const JsonStyle& style) {
  JsonWriter writer(runtime, style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace kvpress::jinja
