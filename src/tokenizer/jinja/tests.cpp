// Tests: `value is name`.
#include <map>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/operators.h"
#include "tokenizer/jinja/python_text.h"
#include "tokenizer/jinja/text.h"

namespace kvpress::jinja {
namespace {

template <bool (*kIs)(const Value&)>
bool plain(Runtime&, const Value& value, const Arguments& arguments) {
  const Bound bound("test", arguments, {});
  return kIs(value);
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_boolean(const Value& value) { return value.is_bool(); }
bool is_false(const Value& value) { return value.is_bool() && !value.boolean(); }
bool is_true_itself(const Value& value) { return value.is_bool() && value.boolean(); }
bool is_integer(const Value& value) { return value.is_integer(); }
bool is_float(const Value& value) { return value.is_float(); }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.is_text(); }
bool is_mapping(const Value& value) { return value.is_dict(); }
bool is_escaped(const Value& value) { return value.is_markup(); }
bool is_sequence(const Value& value) {
  return value.is_undefined() || value.is_text() || value.is_dict() ||
         (value.is_list() && !value.is_list(List::Kind::view));
}
bool is_iterable(const Value& value) {
  return is_sequence(value) || value.is_list() || (value.is_object() && value.object().type() == "generator");
}
bool is_callable(const Value& value) {
  return value.is_undefined() || (value.is_object() && value.object().is_callable());
}

template <bool kUpper>
bool has_case(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("test", arguments, {});
  return is_all(kUpper ? "isupper" : "islower", to_text(runtime, value).text());
}

std::int64_t remainder(Runtime& runtime, const Value& value, const Value& by) {
  const Value rest = arithmetic(runtime, "%", value, by);
  if (!rest.is_number()) return -1;
  return rest.is_float() ? (rest.number() == 0 ? 0 : rest.number() == 1 ? 1 : -1) : rest.integer();
}

template <int kRest>
bool has_rest(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("test", arguments, {});
  return remainder(runtime, value, std::int64_t{2}) == kRest;
}

bool divisibleby(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("divisibleby", arguments, {"num"}, 1);
  return remainder(runtime, value, bound.at(0)) == 0;
}

bool sameas(Runtime&, const Value& value, const Arguments& arguments) {
  const Bound bound("sameas", arguments, {"other"}, 1);
  return value.is_same(bound.at(0));
}

bool is_filter(Runtime&, const Value& value, const Arguments& arguments) {
  const Bound bound("filter", arguments, {});
  return value.is_text() && find_filter(value.text()) != nullptr;
}

bool is_test(Runtime&, const Value& value, const Arguments& arguments) {
  const Bound bound("test", arguments, {});
  return value.is_text() && find_test(value.text()) != nullptr;
}

struct Operations {
  static constexpr const char* kNames[] = {"==", "!=", "<", "<=", ">", ">=", "in"};
};

template <int kOperation>
bool compared(Runtime& runtime, const Value& value, const Arguments& arguments) {
  const Bound bound("test", arguments, {"other"}, 1);
  return compare(runtime, Operations::kNames[kOperation], value, bound.at(0));
}

}  // namespace

Test find_test(std::string_view name) {
  static const std::map<std::string_view, Test> kTests = {
      {"!=", compared<1>},
      {"<", compared<2>},
      {"<=", compared<3>},
      {"==", compared<0>},
      {">", compared<4>},
      {">=", compared<5>},
      {"boolean", plain<is_boolean>},
      {"callable", plain<is_callable>},
      {"defined", plain<is_defined>},
      {"divisibleby", divisibleby},
      {"eq", compared<0>},
      {"equalto", compared<0>},
      {"escaped", plain<is_escaped>},
      {"even", has_rest<0>},
      {"false", plain<is_false>},
      {"filter", is_filter},
      {"float", plain<is_float>},
      {"ge", compared<5>},
      {"greaterthan", compared<4>},
      {"gt", compared<4>},
      {"in", compared<6>},
      {"integer", plain<is_integer>},
      {"iterable", plain<is_iterable>},
      {"le", compared<3>},
      {"lessthan", compared<2>},
      {"lower", has_case<false>},
      {"lt", compared<2>},
      {"mapping", plain<is_mapping>},
      {"ne", compared<1>},
      {"none", plain<is_none>},
      {"number", plain<is_number>},
      {"odd", has_rest<1>},
      {"sameas", sameas},
      {"sequence", plain<is_sequence>},
      {"string", plain<is_string>},
      {"test", is_test},
      {"true", plain<is_true_itself>},
      {"undefined", plain<is_undefined>},
      {"upper", has_case<true>},
  };
  const auto it = kTests.find(name);
  return it == kTests.end() ? nullptr : it->second;
}

Test known_test(std::string_view name) {
  const Test test = find_test(name);
  if (test == nullptr) raise("No test named '{}'", name);
  return test;
}

}  // namespace kvpress::jinja
