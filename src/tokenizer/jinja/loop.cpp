// The variable `loop` of loops.
#include <algorithm>

#include "tokenizer/jinja/interpreter.h"
#include "tokenizer/jinja/operators.h"

namespace kvpress::jinja {
namespace {

class Loop : public Object {
 public:
  Loop(std::vector<Value> items, int depth) : items_(std::move(items)), depth_(depth) {}
  std::string_view type() const override { return "LoopContext"; }
  int depth() const override { return depth_; }
  std::string shown(Runtime&) const override { return fmt::format("<LoopContext {}/{}>", at_ + 1, items_.size()); }
  bool attribute(Runtime& runtime, std::string_view name, Value& value) const override;
  Value call(Runtime&, const Arguments&) override { raise("recursive loops are not supported"); }

  void advance() { ++at_; }
  Value cycle(const Arguments& arguments) const {
    if (arguments.positional.empty()) raise("no items for cycling given");
    return arguments.positional[static_cast<std::size_t>(at_) % arguments.positional.size()];
  }
  bool changed(Runtime& runtime, const Arguments& arguments);

 private:
  std::vector<Value> items_;
  int depth_;
  std::int64_t at_ = -1;
  Value last_;  ///< what changed() was given
};

class LoopMethod : public Object {
 public:
  LoopMethod(std::shared_ptr<Object> loop, bool cycles) : loop_(std::move(loop)), cycles_(cycles) {}
  std::string_view type() const override { return "method"; }
  int depth() const override { return loop_->depth() + 1; }
  bool is_callable() const override { return true; }
  Value call(Runtime& runtime, const Arguments& arguments) override {
    auto& loop = static_cast<Loop&>(*loop_);
    return cycles_ ? loop.cycle(arguments) : Value(loop.changed(runtime, arguments));
  }

 private:
  std::shared_ptr<Object> loop_;
  bool cycles_;
};

bool Loop::attribute(Runtime& runtime, std::string_view name, Value& value) const {
  const auto n = static_cast<std::int64_t>(items_.size());
  const auto item = [&](std::int64_t at, const char* why) {
    return at >= 0 && at < n ? items_[static_cast<std::size_t>(at)] : runtime.undefined(why);
  };
  if (name == "index") {
    value = at_ + 1;
  } else if (name == "index0") {
    value = at_;
  } else if (name == "revindex") {
    value = n - at_;
  } else if (name == "revindex0") {
    value = n - at_ - 1;
  } else if (name == "first") {
    value = at_ == 0;
  } else if (name == "last") {
    value = at_ == n - 1;
  } else if (name == "length") {
    value = n;
  } else if (name == "depth" || name == "depth0") {
    value = std::int64_t{name == "depth" ? 1 : 0};
  } else if (name == "previtem") {
    value = item(at_ - 1, "there is no previous item");
  } else if (name == "nextitem") {
    value = item(at_ + 1, "there is no next item");
  } else if (name == "cycle" || name == "changed") {
    const auto self = std::const_pointer_cast<Object>(shared_from_this());
    value = std::shared_ptr<Object>(std::make_shared<LoopMethod>(self, name == "cycle"));
  } else {
    return false;
  }
  return true;
}

bool Loop::changed(Runtime& runtime, const Arguments& arguments) {
  const Value now = runtime.tuple(arguments.positional);
  // What the loop holds may not hold the loop.
  if (now.depth() > 50) raise("loop.changed() is given values that are nested too deep");
  for (const Value& it : arguments.positional) {
    if (it.is_object()) raise("loop.changed() is given a '{}'", it.type());
  }
  if (last_.is_list() && is_equal(runtime, last_, now)) return false;
  last_ = now;
  return true;
}

}  // namespace

Value make_loop(Runtime& runtime, const std::vector<Value>& items) {
  const int depth = runtime.list(items).depth() + 1;
  if (depth > Runtime::kMaxNesting) raise("nests lists and dicts more than {} deep", Runtime::kMaxNesting);
  return std::shared_ptr<Object>(std::make_shared<Loop>(items, depth));
}

void advance_loop(const Value& loop) { static_cast<Loop&>(loop.object()).advance(); }

}  // namespace kvpress::jinja
