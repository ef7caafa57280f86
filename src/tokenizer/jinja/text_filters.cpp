// Filters that make texts.
#include <algorithm>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/methods.h"
#include "tokenizer/jinja/operators.h"
#include "tokenizer/jinja/python_format.h"
#include "tokenizer/jinja/python_text.h"
#include "tokenizer/jinja/text.h"
#include "tokenizer/unicode.h"

namespace kvpress::jinja {
namespace {

Value by_method(Runtime& runtime, std::string_view method, const Value& value, const Arguments& arguments) {
  return text_method(method)(runtime, to_text(runtime, value), arguments);
}

Value trim(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("trim", arguments, {"chars"});
  return by_method(runtime, "strip", value, bound.has(0) ? Arguments{{bound.at(0)}, {}} : Arguments{});
}
Value upper_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return by_method(runtime, "upper", value, arguments);
}
Value lower_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return by_method(runtime, "lower", value, arguments);
}
Value capitalize_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return by_method(runtime, "capitalize", value, arguments);
}

/// Unlike str.title(), a word begins after white space, hyphens and opening brackets only.
Value title_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("title", arguments, {});
  const Value text = to_text(runtime, value);
  runtime.grow(text.text().size());
  std::string out;
  const auto add = [&](std::string_view word) {
    if (word.empty()) return;
    const std::size_t first = byte_of_character(word, 1);
    out += upper(word.substr(0, first)) + lower(word.substr(first));
  };
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.text().size();) {
    const std::size_t here = at;
    const char32_t code = next_code_point(text.text(), at);
    if (!is_space(code) &&
        (code >= 0x80 || std::string_view("-({[<").find(static_cast<char>(code)) == std::string_view::npos)) {
      continue;
    }
    add(text.text().substr(begin, here - begin));
    out += text.text().substr(here, at - here);
    begin = at;
  }
  add(text.text().substr(begin));
  return runtime.text(std::move(out));
}

Value replace_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"}, 2);
  const Value text = runtime.text(shown(runtime, value));
  const std::int64_t most = bound.has_value(2) ? bound.integer(2) : -1;
  return replaced(runtime, text, to_text(runtime, bound.at(0)).text(), to_text(runtime, bound.at(1)).text(), most);
}

Value indent(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("indent", arguments, {"width", "first", "blank"});
  if (value.is_undefined()) value.raise_undefined();
  if (!value.is_text()) raise("indent needs a string, not '{}'", value.type());
  const bool by_text = bound.has(0) && bound.at(0).is_text();
  const Value space = runtime.text(" ");
  const Value indention = by_text ? bound.at(0) : repeated(runtime, space, bound.integer(0, 4));
  const bool blank = bound.truth(2, false);
  std::string out = bound.truth(1, false) ? std::string(indention.text()) : std::string();
  runtime.grow(value.text().size() * 8);
  const std::string text = std::string(value.text()) + "\n";
  bool first = true;
  for (const std::string_view line : split_lines(text, false)) {
    runtime.grow(indention.text().size() + line.size());
    if (!first) out += "\n";
    if (!first && (blank || !line.empty())) out += indention.text();
    out += line;
    first = false;
  }
  return runtime.text(std::move(out), value.is_markup());
}

Value truncate(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("truncate", arguments, {"length", "killwords", "end", "leeway"});
  const std::int64_t length = bound.integer(0, 255);
  const std::string_view end = bound.text(2, "...");
  const std::int64_t leeway = bound.has_value(3) ? bound.integer(3) : 5;
  const std::int64_t kept = length - n_characters(end);
  if (kept < 0 || leeway < 0) raise("truncate: the length must be at least that of its end");
  if (length_of(value) <= length + leeway) return value;
  if (!value.is_text()) raise("truncate needs a string, not '{}'", value.type());
  std::string_view text = value.text().substr(0, byte_of_character(value.text(), kept));
  if (!bound.truth(1, false)) text = text.substr(0, text.rfind(' '));
  return runtime.text(std::string(text).append(end), value.is_markup());
}

Value center(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("center", arguments, {"width"});
  return justified(runtime, to_text(runtime, value), bound.integer(0, 80), " ", 1);
}

Value wordcount(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("wordcount", arguments, {});
  const Value text = to_text(runtime, value);
  std::int64_t n = 0;
  bool in_word = false;
  for (std::size_t at = 0; at < text.text().size();) {
    const char32_t code = next_code_point(text.text(), at);
    std::string one;
    append_utf8(one, code);
    const bool is_part = code == '_' || is_all("isalnum", one);
    n += is_part && !in_word ? 1 : 0;
    in_word = is_part;
  }
  return n;
}

Value format_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.named.empty()) {
    raise("can't handle positional and keyword arguments at the same time");
  }
  const Value text = to_text(runtime, value);
  std::vector<std::pair<Value, Value>> items;
  for (const auto& [name, it] : arguments.named) items.emplace_back(runtime.text(name), it);
  const Value values = arguments.named.empty() ? runtime.tuple(arguments.positional) : runtime.dict(std::move(items));
  return runtime.text(percent_format(runtime, text.text(), values), text.is_markup());
}

Value escape_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("escape", arguments, {});
  if (value.is_markup()) return value;
  const Value text = to_text(runtime, value);
  runtime.grow(text.text().size() * 5);
  return runtime.text(escape(text.text()), true);
}
Value force_escape(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return escape_filter(runtime, runtime.text(shown(runtime, value)), arguments);
}
Value safe(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("safe", arguments, {});
  return runtime.text(shown(runtime, value), true);
}

Value string_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("string", arguments, {});
  return to_text(runtime, value);
}

Value join(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("join", arguments, {"d", "attribute"});
  const Value between = bound.has(0) ? to_text(runtime, bound.at(0)) : runtime.text("");
  std::string out;
  bool first = true;
  for (const Value& it : items_of(runtime, value)) {
    const Value text = to_text(runtime, bound.has_value(1) ? attribute_path(runtime, it, bound.at(1)) : it);
    runtime.grow(between.text().size() + text.text().size());
    if (!first) out += between.text();
    out += text.text();
    first = false;
  }
  return runtime.text(std::move(out));
}

Value tojson(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style{bound.truth(0, false), bound.truth(3, false), {}, ", ", ": "};
  if (bound.has_value(1)) {
    const Value space = runtime.text(" ");
    style.indent = bound.at(1).is_text() ? std::string(bound.at(1).text())
                                         : std::string(repeated(runtime, space, bound.integer(1)).text());
    style.item_separator = ",";
  }
  if (bound.has_value(2)) {
    const auto separators = items_of(runtime, bound.at(2));
    if (separators.size() != 2 || !separators[0].is_text() || !separators[1].is_text()) {
      raise("tojson: separators must be two strings");
    }
    style.item_separator = separators[0].text();
    style.key_separator = separators[1].text();
  }
  return runtime.text(json_of(runtime, value, style));
}

Value urlencode(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("urlencode", arguments, {});
  const auto quoted = [&](const Value& it, std::string_view also) {
    std::string out;
    for (const char c : shown(runtime, it)) {
      const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                         std::string_view("_.-~").find(c) != std::string_view::npos ||
                         also.find(c) != std::string_view::npos;
      out += plain                       ? std::string(1, c)
             : !also.empty() || c != ' ' ? fmt::format("%{:02X}", static_cast<unsigned char>(c))
                                         : "+";
    }
    runtime.grow(out.size());
    return out;
  };
  if (!value.is_dict() && !value.is_list()) return runtime.text(quoted(value, "/"));
  std::string out;
  for (const Value& it : items_of(runtime, value.is_dict() ? dict_method("items")(runtime, value, {}) : value)) {
    const auto pair = items_of(runtime, it);
    if (pair.size() != 2) raise("urlencode needs pairs");
    out += (out.empty() ? "" : "&") + quoted(pair[0], "") + "=" + quoted(pair[1], "");
  }
  return runtime.text(std::move(out));
}

}  // namespace

const Table& text_filters() {
  static const Table kFilters = {{"capitalize", capitalize_filter},
                                 {"center", center},
                                 {"e", escape_filter},
                                 {"escape", escape_filter},
                                 {"forceescape", force_escape},
                                 {"format", format_filter},
                                 {"indent", indent},
                                 {"join", join},
                                 {"lower", lower_filter},
                                 {"replace", replace_filter},
                                 {"safe", safe},
                                 {"string", string_filter},
                                 {"title", title_filter},
                                 {"tojson", tojson},
                                 {"trim", trim},
                                 {"truncate", truncate},
                                 {"upper", upper_filter},
                                 {"urlencode", urlencode},
                                 {"wordcount", wordcount}};
  return kFilters;
}

}  // namespace kvpress::jinja
