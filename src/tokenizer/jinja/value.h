// The values of a chat template: Python's, as far as templates can see them. Texts, lists and dicts never change once
// they are made (the templates' sandbox forbids it); only namespaces do.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace kvpress::jinja {

class Runtime;
class Value;

/// What went wrong while a template ran. The interpreter adds the template's name and the line.
class Problem : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <typename... Args>
[[noreturn]] void raise(fmt::format_string<Args...> format, Args&&... args) {
  throw Problem(fmt::format(format, std::forward<Args>(args)...));
}

/// A variable or attribute that is not there; `why` is the message when it is used.
struct Undefined {
  std::shared_ptr<const std::string> why;
};

struct None {};

/// Valid UTF-8. Markup escapes what is added to it (the filters `safe` and `escape` make it).
struct Text {
  std::shared_ptr<const std::string> text;
  bool is_markup = false;
};

struct List {
  enum class Kind { list, tuple, range, view };
  Kind kind = Kind::list;
  std::vector<Value> items;
  int depth = 1;          ///< nested lists, dicts and objects in it
  std::string shown;      ///< range: how it prints; view (of a dict's keys, values or items): its type
  bool is_group = false;  ///< a tuple (grouper, list) of the filter groupby
};

struct Dict {
  std::vector<std::pair<Value, Value>> items;
  int depth = 1;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Everything else: functions, macros, namespaces, loops, iterators.
class Object : public std::enable_shared_from_this<Object> {
 public:
  virtual ~Object() = default;
  virtual std::string_view type() const = 0;
  virtual int depth() const { return 1; }
  virtual std::string shown(Runtime& runtime) const;
  /// Whether there is such an attribute; if so, it is in `value`.
  virtual bool attribute(Runtime& runtime, std::string_view name, Value& value) const;
  virtual bool is_callable() const { return false; }
  virtual Value call(Runtime& runtime, const Arguments& arguments);
};

class Value {
 public:
  Value() : data_(None{}) {}
  Value(Undefined it) : data_(std::move(it)) {}                    // NOLINT: a value is any of these
  Value(bool it) : data_(it) {}                                    // NOLINT
  Value(std::int64_t it) : data_(it) {}                            // NOLINT
  Value(double it) : data_(it) {}                                  // NOLINT
  Value(Text it) : data_(std::move(it)) {}                         // NOLINT
  Value(std::shared_ptr<const List> it) : data_(std::move(it)) {}  // NOLINT
  Value(std::shared_ptr<const Dict> it) : data_(std::move(it)) {}  // NOLINT
  Value(std::shared_ptr<Object> it) : data_(std::move(it)) {}      // NOLINT
  Value(const char*) = delete;

  bool is_undefined() const { return std::holds_alternative<Undefined>(data_); }
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_integer() const { return std::holds_alternative<std::int64_t>(data_); }
  bool is_float() const { return std::holds_alternative<double>(data_); }
  bool is_number() const { return is_bool() || is_integer() || is_float(); }
  bool is_text() const { return std::holds_alternative<Text>(data_); }
  bool is_markup() const { return is_text() && std::get<Text>(data_).is_markup; }
  bool is_list() const { return std::holds_alternative<std::shared_ptr<const List>>(data_); }
  bool is_list(List::Kind kind) const { return is_list() && list().kind == kind; }
  bool is_dict() const { return std::holds_alternative<std::shared_ptr<const Dict>>(data_); }
  bool is_object() const { return std::holds_alternative<std::shared_ptr<Object>>(data_); }

  bool boolean() const { return std::get<bool>(data_); }
  /// Of an integer or a bool, which is one as well.
  std::int64_t integer() const { return is_bool() ? (boolean() ? 1 : 0) : std::get<std::int64_t>(data_); }
  /// Of any number.
  double number() const { return is_float() ? std::get<double>(data_) : static_cast<double>(integer()); }
  std::string_view text() const { return *std::get<Text>(data_).text; }
  const Text& shared_text() const { return std::get<Text>(data_); }
  const List& list() const { return *std::get<std::shared_ptr<const List>>(data_); }
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  Object& object() const { return *std::get<std::shared_ptr<Object>>(data_); }
  const std::shared_ptr<Object>& shared_object() const { return std::get<std::shared_ptr<Object>>(data_); }
  template <typename T>
  T* object_as() const {
    return is_object() ? dynamic_cast<T*>(&object()) : nullptr;
  }

  int depth() const { return is_list() ? list().depth : is_dict() ? dict().depth : is_object() ? object().depth() : 0; }
  /// As Python's type(): "str", "list", "NoneType".
  std::string_view type() const;
  /// Whether both are the same thing in memory, or equal constants.
  bool is_same(const Value& other) const;
  /// Raises the Problem of using an undefined value.
  [[noreturn]] void raise_undefined() const { throw Problem(*std::get<Undefined>(data_).why); }

 private:
  std::variant<None, Undefined, bool, std::int64_t, double, Text, std::shared_ptr<const List>,
               std::shared_ptr<const Dict>, std::shared_ptr<Object>>
      data_;
};

bool is_true(const Value& value);

}  // namespace kvpress::jinja
