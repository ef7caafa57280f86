// The global functions of templates: those of jinja2, and the two that transformers adds.
#include <array>

#include "tokenizer/jinja/filters.h"
#include "tokenizer/jinja/operators.h"
#include "tokenizer/jinja/python_text.h"

namespace kvpress::jinja {
namespace {

using Body = Value (*)(Runtime& runtime, const Arguments& arguments);

class Function : public Object {
 public:
  explicit Function(Body body) : body_(body) {}
  std::string_view type() const override { return "function"; }
  bool is_callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override { return body_(runtime, arguments); }

 private:
  Body body_;
};

Value range(Runtime& runtime, const Arguments& arguments) {
  const Bound bound("range", arguments, {"start", "stop", "step"}, 1);
  const std::int64_t start = bound.has(1) ? bound.integer(0) : 0;
  const std::int64_t stop = bound.has(1) ? bound.integer(1) : bound.integer(0);
  const std::int64_t step = bound.integer(2, 1);
  if (step == 0) raise("range() arg 3 must not be zero");
  // In wider numbers: neither the difference nor the last step overflows.
  __extension__ typedef __int128 Wide;  // NOLINT(modernize-use-using): no extension is allowed before using
  const Wide size = step > 0 ? (Wide{stop} - start + step - 1) / step : (Wide{start} - stop - step - 1) / -Wide{step};
  if (size > Runtime::kMaxRange) raise("Range too big. The sandbox blocks ranges larger than {}", Runtime::kMaxRange);
  std::vector<Value> items;
  for (Wide i = 0; i < size; ++i) items.emplace_back(static_cast<std::int64_t>(start + i * step));
  std::string shown =
      step == 1 ? fmt::format("range({}, {})", start, stop) : fmt::format("range({}, {}, {})", start, stop, step);
  return runtime.list(std::move(items), List::Kind::range, std::move(shown));
}

/// The items of a mapping, or of a list of pairs.
std::vector<std::pair<Value, Value>> pairs_of(Runtime& runtime, const Arguments& arguments) {
  std::vector<std::pair<Value, Value>> items;
  if (arguments.positional.size() > 1)
    raise("dict() takes at most 1 argument, {} are given", arguments.positional.size());
  if (!arguments.positional.empty()) {
    const Value& given = arguments.positional[0];
    if (given.is_dict()) {
      items = given.dict().items;
    } else {
      if (given.is_undefined()) return items;
      for (const Value& pair : items_of(runtime, given)) {
        const auto both = items_of(runtime, pair);
        if (both.size() != 2) raise("dict() needs pairs, not {} values", both.size());
        set_item(runtime, items, both[0], both[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) set_item(runtime, items, runtime.text(name), value);
  return items;
}

Value dict(Runtime& runtime, const Arguments& arguments) { return runtime.dict(pairs_of(runtime, arguments)); }

Value make_namespace(Runtime& runtime, const Arguments& arguments) {
  const auto made = std::make_shared<Namespace>();
  runtime.keep(made);
  for (const auto& [key, value] : pairs_of(runtime, arguments)) {
    if (key.is_text()) made->set(runtime, key.text(), value);
  }
  return std::shared_ptr<Object>(made);
}

Value raise_exception(Runtime& runtime, const Arguments& arguments) {
  const Bound bound("raise_exception", arguments, {"message"}, 1);
  throw Problem(shown(runtime, bound.at(0)));
}

Value strftime_now(Runtime& runtime, const Arguments& arguments) {
  const Bound bound("strftime_now", arguments, {"format"}, 1);
  const std::string format(bound.text(0));
  std::string out;
  // Piece by piece, so that what one % stands for has a bound. The year is shown as Python shows it, with all digits.
  for (std::size_t at = 0; at < format.size();) {
    if (format[at] != '%' || at + 1 == format.size()) {
      out += format[at++];
      continue;
    }
    std::size_t end = at + 1;
    while (end < format.size() && std::string_view("-_0^#EO").find(format[end]) != std::string_view::npos) ++end;
    if (end == format.size()) {
      out += format.substr(at);
      break;
    }
    const std::string piece = format.substr(at, end + 1 - at);
    at = end + 1;
    std::array<char, 256> buffer{};
    if (piece == "%f") {
      out += "000000";
    } else if (piece != "%z" && piece != "%Z" && static_cast<unsigned char>(piece.back()) < 0x80) {
      out.append(buffer.data(), std::strftime(buffer.data(), buffer.size(), piece.c_str(), &runtime.now()));
    }
    runtime.grow(piece.size());
  }
  return runtime.text(std::move(out));
}

class Cycler : public Object {
 public:
  Cycler(std::vector<Value> items, int depth) : items_(std::move(items)), depth_(depth) {}
  std::string_view type() const override { return "Cycler"; }
  int depth() const override { return depth_; }
  bool attribute(Runtime& runtime, std::string_view name, Value& value) const override;
  void reset() { at_ = 0; }
  const Value& current() const { return items_[at_]; }
  Value next() {
    const std::size_t now = at_;
    at_ = (at_ + 1) % items_.size();
    return items_[now];
  }

 private:
  std::vector<Value> items_;
  int depth_;
  std::size_t at_ = 0;
};

class CyclerMethod : public Object {
 public:
  CyclerMethod(std::shared_ptr<Object> cycler, bool resets) : cycler_(std::move(cycler)), resets_(resets) {}
  std::string_view type() const override { return "method"; }
  int depth() const override { return cycler_->depth() + 1; }
  bool is_callable() const override { return true; }
  Value call(Runtime&, const Arguments& arguments) override {
    const Bound bound(resets_ ? "reset" : "next", arguments, {});
    auto& cycler = static_cast<Cycler&>(*cycler_);
    if (!resets_) return cycler.next();
    cycler.reset();
    return {};
  }

 private:
  std::shared_ptr<Object> cycler_;
  bool resets_;
};

bool Cycler::attribute(Runtime&, std::string_view name, Value& value) const {
  if (name == "current") {
    value = current();
    return true;
  }
  if (name != "next" && name != "reset") return false;
  if (depth_ + 1 > Runtime::kMaxNesting) raise("nests lists and dicts more than {} deep", Runtime::kMaxNesting);
  const auto self = std::const_pointer_cast<Object>(shared_from_this());
  value = std::shared_ptr<Object>(std::make_shared<CyclerMethod>(self, name == "reset"));
  return true;
}

Value cycler(Runtime& runtime, const Arguments& arguments) {
  if (!arguments.named.empty()) raise("cycler() takes no named arguments");
  if (arguments.positional.empty()) raise("at least one item has to be provided");
  const int depth = runtime.list(arguments.positional).depth();
  return std::shared_ptr<Object>(std::make_shared<Cycler>(arguments.positional, depth));
}

/// Prints nothing the first time, and then its separator.
class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {}
  std::string_view type() const override { return "Joiner"; }
  int depth() const override { return separator_.depth() + 1; }
  bool is_callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments&) override {
    return std::exchange(used_, true) ? separator_ : runtime.text("");
  }

 private:
  Value separator_;
  bool used_ = false;
};

Value joiner(Runtime& runtime, const Arguments& arguments) {
  const Bound bound("joiner", arguments, {"sep"});
  const Value separator = bound.has(0) ? bound.at(0) : runtime.text(", ");
  if (separator.depth() > 0) raise("joiner(): the separator must be a string, not '{}'", separator.type());
  return std::shared_ptr<Object>(std::make_shared<Joiner>(separator));
}

Value lipsum(Runtime&, const Arguments&) { raise("lipsum() is random text, which is not supported"); }

}  // namespace

std::string Namespace::shown(Runtime& runtime) const {
  std::string out = "<Namespace {";
  for (std::size_t i = 0; i < attributes_.size(); ++i) {
    if (i > 0) out += ", ";
    out += repr(runtime, runtime.text(attributes_[i].first)) + ": " + repr(runtime, attributes_[i].second);
  }
  return out + "}>";
}

bool Namespace::attribute(Runtime& runtime, std::string_view name, Value& value) const {
  runtime.step(1 + attributes_.size() / 16);
  for (const auto& [key, it] : attributes_) {
    if (key != name) continue;
    value = it;
    return true;
  }
  return false;
}

void Namespace::set(Runtime& runtime, std::string_view name, Value value) {
  runtime.step(1 + attributes_.size() / 16);
  for (auto& [key, it] : attributes_) {
    if (key != name) continue;
    it = std::move(value);
    return;
  }
  runtime.grow(name.size() + 64);
  attributes_.emplace_back(std::string(name), std::move(value));
}

bool find_function(Runtime& runtime, std::string_view name, Value& found) {
  constexpr std::pair<std::string_view, Body> kFunctions[] = {
      {"range", range},   {"dict", dict},     {"namespace", make_namespace},  {"raise_exception", raise_exception},
      {"cycler", cycler}, {"joiner", joiner}, {"strftime_now", strftime_now}, {"lipsum", lipsum}};
  for (const auto& [own, body] : kFunctions) {
    if (own != name) continue;
    runtime.grow(32);
    found = std::shared_ptr<Object>(std::make_shared<Function>(body));
    return true;
  }
  return false;
}

}  // namespace kvpress::jinja
