#include "tokenizer/jinja/value.h"

#include "tokenizer/jinja/runtime.h"

namespace kvpress::jinja {

std::string Object::shown(Runtime&) const { return fmt::format("<{}>", type()); }

bool Object::attribute(Runtime&, std::string_view, Value&) const { return false; }

Value Object::call(Runtime&, const Arguments&) { raise("'{}' object is not callable", type()); }

std::string_view Value::type() const {
  if (is_none()) return "NoneType";
  if (is_undefined()) return "Undefined";
  if (is_bool()) return "bool";
  if (is_integer()) return "int";
  if (is_float()) return "float";
  if (is_text()) return is_markup() ? "Markup" : "str";
  if (is_dict()) return "dict";
  if (is_object()) return object().type();
  switch (list().kind) {
    case List::Kind::list:
      return "list";
    case List::Kind::tuple:
      return "tuple";
    case List::Kind::range:
      return "range";
    case List::Kind::view:
      break;
  }
  return list().shown;
}

bool Value::is_same(const Value& other) const {
  if (data_.index() != other.data_.index()) return false;
  if (is_text()) return shared_text().text == other.shared_text().text || text() == other.text();
  if (is_list()) return &list() == &other.list();
  if (is_dict()) return &dict() == &other.dict();
  if (is_object()) return &object() == &other.object();
  if (is_bool() || is_integer()) return integer() == other.integer();
  if (is_float()) return number() == other.number();
  return true;
}

bool is_true(const Value& value) {
  if (value.is_none() || value.is_undefined()) return false;
  if (value.is_number()) return value.number() != 0;
  if (value.is_text()) return !value.text().empty();
  if (value.is_list()) return !value.list().items.empty();
  if (value.is_dict()) return !value.dict().items.empty();
  return true;
}

}  // namespace kvpress::jinja
