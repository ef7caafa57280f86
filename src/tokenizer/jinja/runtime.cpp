#include "tokenizer/jinja/runtime.h"

#include <algorithm>
#include <utility>

#include "tokenizer/jinja/methods.h"
#include "tokenizer/jinja/operators.h"
#include "tokenizer/jinja/python_text.h"
#include "tokenizer/jinja/text.h"

namespace kvpress::jinja {
namespace {

int checked_depth(int inner) {
  if (inner >= Runtime::kMaxNesting) raise("nests lists and dicts more than {} deep", Runtime::kMaxNesting);
  return inner + 1;
}

class Iterator : public Object {
 public:
  Iterator(std::vector<Value> items, int depth) : items_(std::move(items)), depth_(depth) {
    std::reverse(items_.begin(), items_.end());  // so that the next is taken from the end
  }
  std::string_view type() const override { return "generator"; }
  int depth() const override { return depth_; }
  std::vector<Value> take() {
    std::reverse(items_.begin(), items_.end());
    return std::exchange(items_, {});
  }
  bool next(Value& item) {
    if (items_.empty()) return false;
    item = std::move(items_.back());
    items_.pop_back();
    return true;
  }

 private:
  std::vector<Value> items_;
  int depth_;
};

}  // namespace

Runtime::~Runtime() {
  for (const auto& it : kept_) it->release();
}

void Runtime::keep(std::shared_ptr<Cyclic> it) {
  grow(128);
  kept_.push_back(std::move(it));
}

int Runtime::depth_of(const std::vector<Value>& items) {
  int inner = 0;
  for (const Value& it : items) inner = std::max(inner, it.depth());
  return checked_depth(inner);
}

Value Runtime::text(std::string text, bool is_markup) {
  grow(text.size() + 32);
  return Text{std::make_shared<const std::string>(std::move(text)), is_markup};
}

Value Runtime::list(std::vector<Value> items, List::Kind kind, std::string shown) {
  grow(items.size() * sizeof(Value) + 64);
  const int depth = depth_of(items);
  return std::make_shared<const List>(List{kind, std::move(items), depth, std::move(shown)});
}

Value Runtime::group(std::vector<Value> items) {
  grow(items.size() * sizeof(Value) + 64);
  const int depth = depth_of(items);
  return std::make_shared<const List>(List{List::Kind::tuple, std::move(items), depth, {}, true});
}

Value Runtime::dict(std::vector<std::pair<Value, Value>> items) {
  grow(items.size() * 2 * sizeof(Value) + 64);
  int inner = 0;
  for (const auto& [key, value] : items) inner = std::max({inner, key.depth(), value.depth()});
  return std::make_shared<const Dict>(Dict{std::move(items), checked_depth(inner)});
}

Value Runtime::iterator(std::vector<Value> items) {
  grow(items.size() * sizeof(Value) + 64);
  const int depth = depth_of(items);
  return std::shared_ptr<Object>(std::make_shared<Iterator>(std::move(items), depth));
}

Value Runtime::undefined(std::string why) {
  grow(why.size() + 32);
  return Undefined{std::make_shared<const std::string>(std::move(why))};
}

Bound::Bound(std::string_view function, const Arguments& arguments, std::initializer_list<std::string_view> names,
             std::size_t n_required)
    : function_(function), names_(names), values_(names.size(), nullptr) {
  if (arguments.positional.size() > names_.size()) {
    raise("{}() takes at most {} arguments, {} are given", function, names_.size(), arguments.positional.size());
  }
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto at = static_cast<std::size_t>(std::find(names_.begin(), names_.end(), name) - names_.begin());
    if (at == names_.size()) raise("{}() has no argument named '{}'", function, name);
    if (values_[at] != nullptr) raise("{}() is given the argument '{}' twice", function, name);
    values_[at] = &value;
  }
  for (std::size_t i = 0; i < n_required; ++i) {
    if (values_[i] == nullptr) raise("{}() needs the argument '{}'", function, names_[i]);
  }
}

std::int64_t Bound::integer(std::size_t i, std::int64_t otherwise) const {
  if (!has(i)) return otherwise;
  if (at(i).is_undefined()) at(i).raise_undefined();
  if (!at(i).is_integer() && !at(i).is_bool()) {
    raise("{}(): the argument '{}' must be an integer, not '{}'", function_, names_[i], at(i).type());
  }
  return at(i).integer();
}

std::string_view Bound::text(std::size_t i) const {
  if (!at(i).is_text()) {
    raise("{}(): the argument '{}' must be a string, not '{}'", function_, names_[i], at(i).type());
  }
  return at(i).text();
}

std::vector<Value> items_of(Runtime& runtime, const Value& value) {
  std::vector<Value> items;
  if (value.is_undefined()) return items;
  if (auto* iterator = value.object_as<Iterator>()) return iterator->take();
  if (value.is_list()) {
    runtime.grow(value.list().items.size() * sizeof(Value));
    return value.list().items;
  }
  if (value.is_dict()) {
    runtime.grow(value.dict().items.size() * sizeof(Value));
    for (const auto& [key, unused] : value.dict().items) items.push_back(key);
    return items;
  }
  if (!value.is_text()) raise("'{}' object is not iterable", value.type());
  for (const std::string_view it : characters(value.text())) items.push_back(runtime.text(std::string(it)));
  return items;
}

bool next_of(Runtime&, const Value& value, Value& item) {
  auto* iterator = value.object_as<Iterator>();
  if (iterator == nullptr) raise("'{}' object is not iterable", value.type());
  return iterator->next(item);
}

Value call(Runtime& runtime, const Value& function, const Arguments& arguments) {
  runtime.step();
  if (function.is_undefined()) function.raise_undefined();
  if (!function.is_object()) raise("'{}' object is not callable", function.type());
  const Runtime::Level level(runtime);
  // The function may take its own name away while it runs.
  const std::shared_ptr<Object> kept = function.shared_object();
  return kept->call(runtime, arguments);
}

Value attribute_of(Runtime& runtime, const Value& value, std::string_view name) {
  runtime.step();
  if (value.is_undefined()) value.raise_undefined();
  Value found;
  if (value.is_object() ? value.object().attribute(runtime, name, found) : find_method(runtime, value, name, found)) {
    return found;
  }
  if (value.is_dict()) {
    if (const Value* item = find_item(runtime, value.dict(), name)) return *item;
  }
  return runtime.undefined(fmt::format("'{} object' has no attribute '{}'", value.type(), name));
}

Value item_of(Runtime& runtime, const Value& value, const Value& key) {
  runtime.step();
  if (value.is_undefined()) value.raise_undefined();
  Value found;
  if (find_item(runtime, value, key, found)) return found;
  if (key.is_text()) {
    const std::string_view name = key.text();
    if (value.is_object() ? value.object().attribute(runtime, name, found) : find_method(runtime, value, name, found)) {
      return found;
    }
    return runtime.undefined(fmt::format("'{} object' has no attribute '{}'", value.type(), name));
  }
  return runtime.undefined(fmt::format("{} has no element {}", value.type(), repr(runtime, key)));
}

Value to_text(Runtime& runtime, const Value& value) {
  if (value.is_text()) return value;
  return runtime.text(shown(runtime, value));
}

}  // namespace kvpress::jinja
