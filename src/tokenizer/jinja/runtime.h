// What running a template needs beside the template: limits of work, memory and nesting, the clock, and how values are
// made and called. Every function raises a Problem.
#pragma once

#include <cstddef>
#include <ctime>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/jinja/value.h"

namespace kvpress::jinja {

/// What may be part of a cycle of references (namespaces, variables that macros see).
class Cyclic {
 public:
  virtual ~Cyclic() = default;
  virtual void release() = 0;
};

class Runtime {
 public:
  static constexpr int kMaxNesting = 100;            ///< of values in values
  static constexpr int kMaxDepth = 600;              ///< of statements, expressions and calls being evaluated
  static constexpr std::int64_t kMaxRange = 100000;  ///< as in jinja2's sandbox

  /// The limits grow with the size of what the template is given. `now` is what strftime_now() sees.
  Runtime(std::size_t input_bytes, const std::tm& now)
      : steps_left_(5'000'000 + 64 * input_bytes),
        bytes_left_((std::size_t{64} << 20) + 256 * input_bytes),
        now_(now) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime();

  void step(std::size_t n = 1) {
    if (n > steps_left_) raise("takes too many steps; it may loop without end");
    steps_left_ -= n;
  }
  /// Bytes about to be read (they count as steps).
  void read(std::size_t bytes) { step(1 + bytes / 64); }
  /// Bytes about to be made, counted even when they are freed again.
  void grow(std::size_t bytes) {
    if (bytes > bytes_left_) raise("makes too much text; it may loop without end");
    bytes_left_ -= bytes;
    step(1 + bytes / 64);
  }

  Value text(std::string text, bool is_markup = false);
  Value list(std::vector<Value> items, List::Kind kind = List::Kind::list, std::string shown = {});
  Value tuple(std::vector<Value> items) { return list(std::move(items), List::Kind::tuple); }
  Value group(std::vector<Value> items);
  Value dict(std::vector<std::pair<Value, Value>> items);
  /// An iterator over the items: a second loop over it sees nothing.
  Value iterator(std::vector<Value> items);
  Value undefined(std::string why);

  /// Holds `it` until the end, and breaks its cycles then.
  void keep(std::shared_ptr<Cyclic> it);
  const std::tm& now() const { return now_; }

  /// One level of evaluation, as long as it lives.
  class Level {
   public:
    explicit Level(Runtime& runtime) : runtime_(runtime) {
      if (runtime_.depth_ >= kMaxDepth) raise("is nested too deep; a macro may call itself without end");
      ++runtime_.depth_;
    }
    ~Level() { --runtime_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Runtime& runtime_;
  };

 private:
  static int depth_of(const std::vector<Value>& items);
  std::size_t steps_left_;
  std::size_t bytes_left_;
  int depth_ = 0;
  std::tm now_;
  std::vector<std::shared_ptr<Cyclic>> kept_;
};

/// The arguments of a call by the names of its parameters, as Python binds them.
class Bound {
 public:
  /// Those before `n_required` must be given.
  Bound(std::string_view function, const Arguments& arguments, std::initializer_list<std::string_view> names,
        std::size_t n_required = 0);

  bool has(std::size_t i) const { return values_[i] != nullptr; }
  bool has_value(std::size_t i) const { return has(i) && !values_[i]->is_none(); }
  const Value& at(std::size_t i) const { return *values_[i]; }
  bool truth(std::size_t i, bool otherwise) const { return has(i) ? is_true(at(i)) : otherwise; }
  std::int64_t integer(std::size_t i, std::int64_t otherwise = 0) const;
  std::string_view text(std::size_t i) const;
  std::string_view text(std::size_t i, std::string_view otherwise) const { return has(i) ? text(i) : otherwise; }

 private:
  std::string_view function_;
  std::vector<std::string_view> names_;
  std::vector<const Value*> values_;
};

/// All values of something that can be iterated; takes them out of an iterator.
std::vector<Value> items_of(Runtime& runtime, const Value& value);
/// The next item of an iterator; false if there is none left. Raises if `value` is no iterator.
bool next_of(Runtime& runtime, const Value& value, Value& item);
Value call(Runtime& runtime, const Value& function, const Arguments& arguments);

/// `value.name` and `value[key]`, undefined if it is not there.
Value attribute_of(Runtime& runtime, const Value& value, std::string_view name);
Value item_of(Runtime& runtime, const Value& value, const Value& key);
/// Python's str(): what is printed.
Value to_text(Runtime& runtime, const Value& value);

}  // namespace kvpress::jinja
