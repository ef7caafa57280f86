// The filters that apply a filter or a test to each item: map, select, reject, selectattr, rejectattr.
#include "tokenizer/jinja/filters.h"

namespace kvpress::jinja {
namespace {

Value map(Runtime& runtime, const Value& value, const Arguments& arguments) {
  std::vector<Value> result;
  if (!is_true(value)) return runtime.iterator({});
  if (arguments.positional.empty()) {
    const Bound bound("map", arguments, {"attribute", "default"});
    if (!bound.has(0)) raise("map requires a filter argument");
    for (const Value& item : items_of(runtime, value)) {
      result.push_back(attribute_path(runtime, item, bound.at(0), bound.has_value(1) ? &bound.at(1) : nullptr));
    }
    return runtime.iterator(std::move(result));
  }
  const Value& name = arguments.positional[0];
  if (!name.is_text()) raise("map: the filter's name must be a string, not '{}'", name.type());
  const Filter filter = known_filter(name.text());
  const Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()}, arguments.named};
  const Runtime::Level level(runtime);  // the filter may be map itself
  for (const Value& item : items_of(runtime, value)) {
    runtime.step();
    result.push_back(filter(runtime, item, rest));
  }
  return runtime.iterator(std::move(result));
}

template <bool kWanted, bool kAttribute>
Value select(Runtime& runtime, const Value& value, const Arguments& arguments) {
  if (!is_true(value)) return runtime.iterator({});
  const std::size_t n_own = kAttribute ? 1 : 0;
  const auto& given = arguments.positional;
  if (given.size() < n_own) raise("Missing parameter for attribute name");
  Test test = nullptr;
  Arguments rest;
  if (given.size() > n_own) {
    if (!given[n_own].is_text()) raise("the test's name must be a string, not '{}'", given[n_own].type());
    test = known_test(given[n_own].text());
    rest = {{given.begin() + static_cast<std::ptrdiff_t>(n_own) + 1, given.end()}, arguments.named};
  }
  std::vector<Value> result;
  for (const Value& item : items_of(runtime, value)) {
    runtime.step();
    const Value subject = kAttribute ? attribute_path(runtime, item, given[0]) : item;
    if ((test == nullptr ? is_true(subject) : test(runtime, subject, rest)) == kWanted) result.push_back(item);
  }
  return runtime.iterator(std::move(result));
}

}  // namespace

const Table& selecting_filters() {
  static const Table kFilters = {{"map", map},
                                 {"reject", select<false, false>},
                                 {"rejectattr", select<false, true>},
                                 {"select", select<true, false>},
                                 {"selectattr", select<true, true>}};
  return kFilters;
}

}  // namespace kvpress::jinja
