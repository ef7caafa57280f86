// Filters (`value|name`), tests (`value is name`) and global functions of templates.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/jinja/runtime.h"

namespace kvpress::jinja {

using Filter = Value (*)(Runtime& runtime, const Value& value, const Arguments& arguments);
using Test = bool (*)(Runtime& runtime, const Value& value, const Arguments& arguments);
using Table = std::vector<std::pair<std::string_view, Filter>>;

/// Null if there is none.
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);
/// Like find_filter() and find_test(), and raise a Problem if there is none.
Filter known_filter(std::string_view name);
Test known_test(std::string_view name);

/// The filters by their subject.
const Table& text_filters();
const Table& list_filters();
const Table& selecting_filters();
const Table& value_filters();

/// range, dict, namespace, cycler, joiner, raise_exception, strftime_now; false if it is none of them.
bool find_function(Runtime& runtime, std::string_view name, Value& found);

/// `item.a.0.b` of "a.0.b", or the item itself if `attribute` is None. `otherwise`: instead of what is undefined, if
/// given.
Value attribute_path(Runtime& runtime, Value item, const Value& attribute, const Value* otherwise = nullptr);
/// The text in lower case, anything else as it is: what is sorted and compared where case does not matter.
Value without_case(Runtime& runtime, const Value& value);

/// A variable that `{% set name.attribute = value %}` changes.
class Namespace : public Object, public Cyclic {
 public:
  std::string_view type() const override { return "Namespace"; }
  std::string shown(Runtime& runtime) const override;
  bool attribute(Runtime& runtime, std::string_view name, Value& value) const override;
  void set(Runtime& runtime, std::string_view name, Value value);
  void release() override { attributes_.clear(); }

 private:
  std::vector<std::pair<std::string, Value>> attributes_;
};

}  // namespace kvpress::jinja
