// The methods of texts (Python's str).
#include <algorithm>
#include <map>

#include "tokenizer/jinja/methods.h"
#include "tokenizer/jinja/operators.h"
#include "tokenizer/jinja/python_format.h"
#include "tokenizer/jinja/text.h"

namespace kvpress::jinja {
namespace {

constexpr auto npos = std::string_view::npos;

/// A text of the same kind: what is made of markup is markup.
Value like(Runtime& runtime, const Value& self, std::string_view text) {
  return runtime.text(std::string(text), self.is_markup());
}

Value list_like(Runtime& runtime, const Value& self, const std::vector<std::string_view>& parts) {
  std::vector<Value> items;
  for (const std::string_view it : parts) items.push_back(like(runtime, self, it));
  return runtime.list(std::move(items));
}

template <bool kLeft, bool kRight>
Value strip_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("strip", arguments, {"chars"});
  if (!bound.has_value(0)) return like(runtime, self, strip(self.text(), nullptr, kLeft, kRight));
  const std::string_view chars = bound.text(0);
  runtime.step(1 + self.text().size() * (1 + chars.size() / 64) / 64);
  return like(runtime, self, strip(self.text(), &chars, kLeft, kRight));
}

template <bool kFromRight>
Value split_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("split", arguments, {"sep", "maxsplit"});
  runtime.grow(self.text().size() * 8);  // a part may be as short as a byte
  const std::int64_t most = bound.integer(1, -1);
  if (!bound.has_value(0)) return list_like(runtime, self, split(self.text(), nullptr, most, kFromRight));
  const std::string_view separator = bound.text(0);
  if (separator.empty()) raise("empty separator");
  return list_like(runtime, self, split(self.text(), &separator, most, kFromRight));
}

Value splitlines(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("splitlines", arguments, {"keepends"});
  runtime.grow(self.text().size() * 8);
  return list_like(runtime, self, split_lines(self.text(), bound.truth(0, false)));
}

template <bool kLast>
Value partition(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("partition", arguments, {"sep"}, 1);
  const std::string_view text = self.text();
  const std::string_view separator = bound.text(0);
  if (separator.empty()) raise("empty separator");
  runtime.grow(text.size());
  const std::size_t at = kLast ? find_last(text, separator) : find(text, separator);
  const auto piece = [&](std::string_view it) { return like(runtime, self, it); };
  if (at == npos) {
    return kLast ? runtime.tuple({piece(""), piece(""), self}) : runtime.tuple({self, piece(""), piece("")});
  }
  return runtime.tuple({piece(text.substr(0, at)), piece(separator), piece(text.substr(at + separator.size()))});
}

/// The part of the text that `start` and `end` name; `offset` is where it begins, in code points.
std::string_view part_of(Runtime& runtime, std::string_view text, const Bound& bound, std::int64_t& offset) {
  runtime.read(text.size());
  const std::int64_t n = n_characters(text);
  const auto place = [&](std::size_t i, std::int64_t otherwise) {
    if (!bound.has_value(i)) return otherwise;
    const std::int64_t at = std::max(bound.integer(i), -n - 1);
    return std::max<std::int64_t>(at < 0 ? at + n : at, 0);
  };
  offset = place(1, 0);
  const std::int64_t end = std::min(place(2, n), n);
  if (offset > end) {
    offset = -1;
    return {};
  }
  const std::size_t begin = byte_of_character(text, offset);
  return text.substr(begin, byte_of_character(text.substr(begin), end - offset));
}

template <bool kBegin>
Value affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound(kBegin ? "startswith" : "endswith", arguments, {"prefix", "start", "end"}, 1);
  std::int64_t offset = 0;
  const std::string_view text = part_of(runtime, self.text(), bound, offset);
  if (offset < 0) return false;
  const auto fits = [&](std::string_view it) {
    return it.size() <= text.size() &&
           (kBegin ? text.substr(0, it.size()) : text.substr(text.size() - it.size())) == it;
  };
  if (!bound.at(0).is_list(List::Kind::tuple)) return fits(bound.text(0));
  for (const Value& it : bound.at(0).list().items) {
    runtime.step();
    if (!it.is_text()) raise("tuple for startswith must only contain str, not {}", it.type());
    if (fits(it.text())) return true;
  }
  return false;
}

template <bool kLast, bool kMustBe>
Value find_method_of(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("find", arguments, {"sub", "start", "end"}, 1);
  std::int64_t offset = 0;
  const std::string_view text = part_of(runtime, self.text(), bound, offset);
  const std::string_view part = bound.text(0);
  const std::size_t at = offset < 0 ? npos : kLast ? find_last(text, part) : find(text, part);
  if (at == npos && kMustBe) raise("substring not found");
  return at == npos ? std::int64_t{-1} : offset + n_characters(text.substr(0, at));
}

Value count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("count", arguments, {"sub", "start", "end"}, 1);
  std::int64_t offset = 0;
  const std::string_view text = part_of(runtime, self.text(), bound, offset);
  const std::string_view part = bound.text(0);
  if (offset < 0) return std::int64_t{0};
  if (part.empty()) return n_characters(text) + 1;
  std::int64_t n = 0;
  for (std::size_t at = find(text, part); at != npos; at = find(text, part, at + part.size())) ++n;
  return n;
}

Value replace_method(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"}, 2);
  const auto safe = [&](std::size_t i) {
    const std::string_view text = bound.text(i);
    return self.is_markup() && !bound.at(i).is_markup() ? escape(text) : std::string(text);
  };
  return replaced(runtime, self, safe(0), safe(1), bound.integer(2, -1));
}

Value join(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("join", arguments, {"iterable"}, 1);
  if (bound.at(0).is_undefined()) return like(runtime, self, "");
  std::string text;
  std::size_t n = 0;
  for (const Value& it : items_of(runtime, bound.at(0))) {
    if (!it.is_text()) raise("sequence item {}: expected str instance, {} found", n, it.type());
    runtime.grow(self.text().size() + it.text().size());
    if (n++ > 0) text += self.text();
    text += self.is_markup() && !it.is_markup() ? escape(it.text()) : std::string(it.text());
  }
  return like(runtime, self, text);
}

template <std::string (*kChange)(std::string_view)>
Value changed(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("upper", arguments, {});
  runtime.step(1 + self.text().size() / 8);
  return like(runtime, self, kChange(self.text()));
}

template <bool kPrefix>
Value remove_affix(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound(kPrefix ? "removeprefix" : "removesuffix", arguments, {"affix"}, 1);
  std::string_view text = self.text();
  const std::string_view affix = bound.text(0);
  if (kPrefix && text.substr(0, affix.size()) == affix) text.remove_prefix(affix.size());
  if (!kPrefix && text.size() >= affix.size() && text.substr(text.size() - affix.size()) == affix) {
    text.remove_suffix(affix.size());
  }
  return like(runtime, self, text);
}

/// `share` of the missing width goes before the text: 0 none, 1 half, 2 all.
template <int kShare>
Value justify(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("justify", arguments, {"width", "fillchar"}, 1);
  const std::string_view fill = bound.text(1, " ");
  if (n_characters(fill) != 1) raise("The fill character must be exactly one character long");
  return justified(runtime, self, bound.integer(0), fill, kShare);
}

Value zfill(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("zfill", arguments, {"width"}, 1);
  const std::string_view text = self.text();
  const bool has_sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  const Value digits = like(runtime, self, text.substr(has_sign ? 1 : 0));
  const std::int64_t width = std::max<std::int64_t>(bound.integer(0), 1) - (has_sign ? 1 : 0);
  const Value filled = justified(runtime, digits, width, "0", 2);
  return like(runtime, self, std::string(text.substr(0, has_sign ? 1 : 0)).append(filled.text()));
}

Value expandtabs(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("expandtabs", arguments, {"tabsize"});
  const std::int64_t size = bound.integer(0, 8);
  std::string text;
  std::int64_t column = 0;
  for (const std::string_view it : characters(self.text())) {
    if (it != "\t") {
      column = it == "\n" || it == "\r" ? 0 : column + 1;
      text += it;
      continue;
    }
    const std::int64_t n = size > 0 ? size - column % size : 0;
    runtime.grow(static_cast<std::size_t>(n));
    text.append(static_cast<std::size_t>(n), ' ');
    column += n;
  }
  return like(runtime, self, text);
}

Value format(Runtime& runtime, const Value& self, const Arguments& arguments) {
  return runtime.text(brace_format(runtime, self.text(), arguments), self.is_markup());
}

struct Kind {
  static constexpr const char* kNames[] = {"isalnum",   "isalpha",     "isascii", "isdecimal", "isdigit", "islower",
                                           "isnumeric", "isprintable", "isspace", "istitle",   "isupper"};
};

template <int kName>
Value is_kind(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound(Kind::kNames[kName], arguments, {});
  runtime.step(1 + self.text().size() / 8);
  return is_all(Kind::kNames[kName], self.text());
}

}  // namespace

Value replaced(Runtime& runtime, const Value& self, std::string_view from, std::string_view to, std::int64_t most) {
  const std::string_view text = self.text();
  runtime.read(text.size() + from.size());
  // How long it becomes is known before it is made.
  std::size_t n = from.empty() ? static_cast<std::size_t>(n_characters(text)) + 1 : 0;
  if (!from.empty()) {
    for (std::size_t at = find(text, from); at != npos; at = find(text, from, at + from.size())) ++n;
  }
  if (most >= 0) n = std::min(n, static_cast<std::size_t>(most));
  std::size_t grown = 0;
  if (__builtin_mul_overflow(n, to.size(), &grown)) raise("makes too much text");
  runtime.grow(grown);
  return like(runtime, self, replace(text, from, to, most));
}

Value justified(Runtime& runtime, const Value& self, std::int64_t width, std::string_view fill, int share) {
  const std::int64_t missing = std::max<std::int64_t>(width - n_characters(self.text()), 0);
  // As Python's str.center(): an odd space goes left if the width is odd.
  const std::int64_t before = share == 0 ? 0 : share == 2 ? missing : missing / 2 + (missing & width & 1);
  const Value filling = runtime.text(std::string(fill));
  const Value left = repeated(runtime, filling, before);
  const Value right = repeated(runtime, filling, missing - before);
  return like(runtime, self, std::string(left.text()).append(self.text()).append(right.text()));
}

Method text_method(std::string_view name) {
  static const std::map<std::string_view, Method> kMethods = {
      {"capitalize", changed<capitalize>},
      {"casefold", changed<lower>},
      {"center", justify<1>},
      {"count", count},
      {"endswith", affix<false>},
      {"expandtabs", expandtabs},
      {"find", find_method_of<false, false>},
      {"format", format},
      {"index", find_method_of<false, true>},
      {"isalnum", is_kind<0>},
      {"isalpha", is_kind<1>},
      {"isascii", is_kind<2>},
      {"isdecimal", is_kind<3>},
      {"isdigit", is_kind<4>},
      {"islower", is_kind<5>},
      {"isnumeric", is_kind<6>},
      {"isprintable", is_kind<7>},
      {"isspace", is_kind<8>},
      {"istitle", is_kind<9>},
      {"isupper", is_kind<10>},
      {"join", join},
      {"ljust", justify<0>},
      {"lower", changed<lower>},
      {"lstrip", strip_method<true, false>},
      {"partition", partition<false>},
      {"removeprefix", remove_affix<true>},
      {"removesuffix", remove_affix<false>},
      {"replace", replace_method},
      {"rfind", find_method_of<true, false>},
      {"rindex", find_method_of<true, true>},
      {"rjust", justify<2>},
      {"rpartition", partition<true>},
      {"rsplit", split_method<true>},
      {"rstrip", strip_method<false, true>},
      {"split", split_method<false>},
      {"splitlines", splitlines},
      {"startswith", affix<true>},
      {"strip", strip_method<true, true>},
      {"swapcase", changed<swap_case>},
      {"title", changed<title>},
      {"upper", changed<upper>},
      {"zfill", zfill},
  };
  const auto it = kMethods.find(name);
  return it == kMethods.end() ? nullptr : it->second;
}

}  // namespace kvpress::jinja
