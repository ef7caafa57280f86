// Filters over the items of lists and dicts.
#include <algorithm>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/methods.h"
#include "tokenizer/jinja/operators.h"
#include "tokenizer/jinja/text.h"

namespace kvpress::jinja {
namespace {

Value first(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("first", arguments, {});
  if (value.is_list() && !value.list().items.empty()) return value.list().items.front();
  Value item;
  if (value.is_object() && next_of(runtime, value, item)) return item;  // the others stay in the iterator
  const std::vector<Value> items = items_of(runtime, value);
  return items.empty() ? runtime.undefined("No first item, sequence was empty.") : items.front();
}

Value last(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("last", arguments, {});
  if (value.is_object()) raise("'{}' object is not reversible", value.type());
  if (value.is_list() && !value.list().items.empty()) return value.list().items.back();
  const std::vector<Value> items = items_of(runtime, value);
  return items.empty() ? runtime.undefined("No last item, sequence was empty.") : items.back();
}

Value list_filter(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("list", arguments, {});
  return runtime.list(items_of(runtime, value));
}

Value length(Runtime&, const Value& value, const Arguments& arguments) {
  const Bound bound("length", arguments, {});
  return length_of(value);
}

Value reverse(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("reverse", arguments, {});
  std::vector<Value> items = items_of(runtime, value);
  std::reverse(items.begin(), items.end());
  if (!value.is_text()) return value.is_object() ? runtime.list(std::move(items)) : runtime.iterator(std::move(items));
  std::string text;
  for (const Value& it : items) text += it.text();
  return runtime.text(std::move(text), value.is_markup());
}

Value items(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("items", arguments, {});
  if (value.is_undefined()) return runtime.iterator({});
  if (!value.is_dict()) raise("Can only get item pairs from a mapping, not from '{}'", value.type());
  return runtime.iterator(items_of(runtime, dict_method("items")(runtime, value, {})));
}

/// Sorts by the keys, which go with the items.
std::vector<Value> sorted_by(Runtime& runtime, std::vector<std::pair<Value, Value>> keyed, bool reverse) {
  runtime.grow(keyed.size() * sizeof keyed[0]);
  // Python keeps the order of equal items, also when it reverses.
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return reverse ? is_less(runtime, b.first, a.first) : is_less(runtime, a.first, b.first);
  });
  std::vector<Value> items;
  for (auto& it : keyed) items.push_back(std::move(it.second));
  return items;
}

Value key_of(Runtime& runtime, const Value& item, const Value& attribute, bool case_sensitive) {
  const Value key = attribute_path(runtime, item, attribute);
  return case_sensitive ? key : without_case(runtime, key);
}

Value sort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool case_sensitive = bound.truth(1, false);
  std::vector<Value> attributes;  // several may be named: "a,b"
  if (bound.has(2) && bound.at(2).is_text()) {
    const std::string_view comma = ",";
    for (const std::string_view it : split(bound.at(2).text(), &comma, -1, false)) {
      attributes.push_back(runtime.text(std::string(it)));
    }
  } else {
    attributes.push_back(bound.has(2) ? bound.at(2) : Value());
  }
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : items_of(runtime, value)) {
    std::vector<Value> keys;
    for (const Value& it : attributes) keys.push_back(key_of(runtime, item, it, case_sensitive));
    keyed.emplace_back(runtime.list(std::move(keys)), item);
  }
  return runtime.list(sorted_by(runtime, std::move(keyed), bound.truth(0, false)));
}

Value dictsort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string_view by = bound.text(1, "key");
  if (by != "key" && by != "value") raise("You can only sort by either \"key\" or \"value\"");
  if (value.is_undefined()) value.raise_undefined();
  if (!value.is_dict()) raise("'{}' object has no attribute 'items'", value.type());
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, item] : value.dict().items) {
    const Value& it = by == "key" ? key : item;
    keyed.emplace_back(bound.truth(0, false) ? it : without_case(runtime, it), runtime.tuple({key, item}));
  }
  return runtime.list(sorted_by(runtime, std::move(keyed), bound.truth(2, false)));
}

Value unique(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("unique", arguments, {"case_sensitive", "attribute"});
  std::vector<std::pair<Value, Value>> seen;
  std::vector<Value> result;
  for (const Value& item : items_of(runtime, value)) {
    const Value key = key_of(runtime, item, bound.has(1) ? bound.at(1) : Value(), bound.truth(0, false));
    const std::size_t n = seen.size();
    set_item(runtime, seen, key, Value());
    if (seen.size() > n) result.push_back(item);
  }
  return runtime.iterator(std::move(result));
}

template <bool kMost>
Value extreme(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound(kMost ? "max" : "min", arguments, {"case_sensitive", "attribute"});
  const Value attribute = bound.has(1) ? bound.at(1) : Value();
  const std::vector<Value> items = items_of(runtime, value);
  if (items.empty()) return runtime.undefined("No aggregated item, sequence was empty.");
  const Value* best = &items[0];
  Value best_key = key_of(runtime, items[0], attribute, bound.truth(0, false));
  for (std::size_t i = 1; i < items.size(); ++i) {
    Value key = key_of(runtime, items[i], attribute, bound.truth(0, false));
    if (kMost ? !is_less(runtime, best_key, key) : !is_less(runtime, key, best_key)) continue;
    best = &items[i];
    best_key = std::move(key);
  }
  return *best;
}

Value sum(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("sum", arguments, {"attribute", "start"});
  Value total = bound.has(1) ? bound.at(1) : Value(std::int64_t{0});
  if (total.is_text()) raise("sum() can't sum strings; use join");
  for (const Value& item : items_of(runtime, value)) {
    total = arithmetic(runtime, "+", total, bound.has(0) ? attribute_path(runtime, item, bound.at(0)) : item);
  }
  return total;
}

Value batch(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("batch", arguments, {"linecount", "fill_with"}, 1);
  const std::int64_t size = bound.integer(0);
  std::vector<Value> rows;
  std::vector<Value> row;
  for (const Value& item : items_of(runtime, value)) {
    if (static_cast<std::int64_t>(row.size()) == size) rows.push_back(runtime.list(std::exchange(row, {})));
    row.push_back(item);
  }
  if (!row.empty()) {
    if (bound.has_value(1)) {
      const std::int64_t missing = std::max<std::int64_t>(size - static_cast<std::int64_t>(row.size()), 0);
      if (missing > Runtime::kMaxRange) raise("batch: {} is too large", size);
      row.resize(row.size() + static_cast<std::size_t>(missing), bound.at(1));
    }
    rows.push_back(runtime.list(std::move(row)));
  }
  return runtime.iterator(std::move(rows));
}

Value slice(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("slice", arguments, {"slices", "fill_with"}, 1);
  const std::vector<Value> all = items_of(runtime, value);
  const std::int64_t n_slices = bound.integer(0);
  if (n_slices == 0) raise("integer division or modulo by zero");
  if (n_slices > Runtime::kMaxRange) raise("slice: {} is too large", n_slices);
  std::vector<Value> rows;
  std::size_t at = 0;
  for (std::int64_t i = 0; i < n_slices; ++i) {
    const auto n = static_cast<std::int64_t>(all.size());
    const bool longer = i < n % n_slices;
    std::vector<Value> row;
    for (std::int64_t j = 0; j < n / n_slices + (longer ? 1 : 0); ++j) row.push_back(all[at++]);
    if (bound.has_value(1) && !longer) row.push_back(bound.at(1));
    rows.push_back(runtime.list(std::move(row)));
  }
  return runtime.iterator(std::move(rows));
}

Value groupby(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const bool case_sensitive = bound.truth(2, false);
  const auto grouper = [&](const Value& item) {
    return attribute_path(runtime, item, bound.at(0), bound.has_value(1) ? &bound.at(1) : nullptr);
  };
  const auto key = [&](const Value& item) {
    return case_sensitive ? grouper(item) : without_case(runtime, grouper(item));
  };
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : items_of(runtime, value)) keyed.emplace_back(key(item), item);
  std::vector<Value> groups;
  std::vector<Value> group;
  const auto end_group = [&] {
    if (group.empty()) return;
    const Value name = grouper(group[0]);
    groups.push_back(runtime.group({name, runtime.list(std::exchange(group, {}))}));
  };
  for (const Value& item : sorted_by(runtime, std::move(keyed), false)) {
    if (!group.empty() && !is_equal(runtime, key(group[0]), key(item))) end_group();
    group.push_back(item);
  }
  end_group();
  return runtime.list(std::move(groups));
}

}  // namespace

Value without_case(Runtime& runtime, const Value& value) {
  return value.is_text() ? text_method("lower")(runtime, value, {}) : value;
}

Value attribute_path(Runtime& runtime, Value item, const Value& attribute, const Value* otherwise) {
  if (attribute.is_none()) return item;
  const auto step = [&](const Value& key) {
    item = item_of(runtime, item, key);
    if (otherwise != nullptr && item.is_undefined()) item = *otherwise;
  };
  if (!attribute.is_text()) {
    step(attribute);
    return item;
  }
  const std::string_view dot = ".";
  for (const std::string_view part : split(attribute.text(), &dot, -1, false)) {
    const bool is_number =
        part.size() < 19 && !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    step(is_number ? Value(std::int64_t{std::stoll(std::string(part))}) : runtime.text(std::string(part)));
  }
  return item;
}

const Table& list_filters() {
  static const Table kFilters = {{"batch", batch},       {"count", length},       {"dictsort", dictsort},
                                 {"first", first},       {"groupby", groupby},    {"items", items},
                                 {"last", last},         {"length", length},      {"list", list_filter},
                                 {"max", extreme<true>}, {"min", extreme<false>}, {"reverse", reverse},
                                 {"slice", slice},       {"sort", sort},          {"sum", sum},
                                 {"unique", unique}};
  return kFilters;
}

}  // namespace kvpress::jinja
