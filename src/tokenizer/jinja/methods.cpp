#include "tokenizer/jinja/methods.h"

#include <algorithm>
#include <map>

#include "tokenizer/jinja/operators.h"

namespace kvpress::jinja {
namespace {

class BoundMethod : public Object {
 public:
  BoundMethod(Method method, Value self) : method_(method), self_(std::move(self)) {}
  std::string_view type() const override { return "builtin_function_or_method"; }
  int depth() const override { return self_.depth() + 1; }
  bool is_callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override { return method_(runtime, self_, arguments); }

 private:
  Method method_;
  Value self_;
};

Value keys(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("keys", arguments, {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict().items) items.push_back(key);
  return runtime.list(std::move(items), List::Kind::view, "dict_keys");
}

Value values(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("values", arguments, {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict().items) items.push_back(value);
  return runtime.list(std::move(items), List::Kind::view, "dict_values");
}

Value items(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("items", arguments, {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.dict().items) items.push_back(runtime.tuple({key, value}));
  return runtime.list(std::move(items), List::Kind::view, "dict_items");
}

Value get(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("get", arguments, {"key", "default"}, 1);
  const Value* found = find_item(runtime, self.dict(), bound.at(0));
  return found != nullptr ? *found : bound.has(1) ? bound.at(1) : Value();
}

Value copy(Runtime&, const Value& self, const Arguments& arguments) {
  const Bound bound("copy", arguments, {});
  return self;
}

Value count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("count", arguments, {"value"}, 1);
  const auto& all = self.list().items;
  return std::int64_t{
      std::count_if(all.begin(), all.end(), [&](const Value& it) { return is_equal(runtime, it, bound.at(0)); })};
}

Value index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  const Bound bound("index", arguments, {"value"}, 1);
  const auto& all = self.list().items;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (is_equal(runtime, all[i], bound.at(0))) return static_cast<std::int64_t>(i);
  }
  raise("the value is not in the list");
}

bool changes(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Method list_method(std::string_view name) { return name == "count" ? count : name == "index" ? index : nullptr; }

Method dict_method(std::string_view name) {
  static const std::map<std::string_view, Method> kMethods = {
      {"copy", copy}, {"get", get}, {"items", items}, {"keys", keys}, {"values", values}};
  const auto it = kMethods.find(name);
  return it == kMethods.end() ? nullptr : it->second;
}

bool find_method(Runtime& runtime, const Value& value, std::string_view name, Value& found) {
  const bool unsafe = (value.is_list(List::Kind::list) &&
                       changes(name, {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"})) ||
                      (value.is_dict() && changes(name, {"clear", "pop", "popitem", "setdefault", "update"}));
  if (unsafe) {
    found = runtime.undefined(
        fmt::format("access to attribute '{}' of '{}' object is unsafe: it would change it", name, value.type()));
    return true;
  }
  if (value.is_list() && value.list().is_group && (name == "grouper" || name == "list")) {
    found = value.list().items[name == "list" ? 1 : 0];
    return true;
  }
  const Method method = value.is_text()                                       ? text_method(name)
                        : value.is_dict()                                     ? dict_method(name)
                        : value.is_list(List::Kind::list) && name == "copy"   ? copy
                        : value.is_list() && !value.is_list(List::Kind::view) ? list_method(name)
                                                                              : nullptr;
  if (method == nullptr) return false;
  if (value.depth() + 1 > Runtime::kMaxNesting) raise("nests lists and dicts more than {} deep", Runtime::kMaxNesting);
  runtime.grow(64);
  found = std::shared_ptr<Object>(std::make_shared<BoundMethod>(method, value));
  return true;
}

}  // namespace kvpress::jinja
