#include "kvpress/press/press_state.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "kvpress/base/error.h"
#include "kvpress/press/parameters.h"

namespace kvpress {
namespace {

/// Goes to the presses that are parameters; all others stay as they are.
class InnerPresses : public ParameterVisitor {
 public:
  explicit InnerPresses(StateVisitor& state) : state_(state) {}
  using ParameterVisitor::real;
  void integer(std::string_view, std::int64_t&, std::int64_t, std::string_view) override {}
  void optional_integer(std::string_view, std::optional<std::int64_t>&, std::int64_t, std::string_view) override {}
  void real(std::string_view, double&, double, double, std::string_view) override {}
  void optional_real(std::string_view, std::optional<double>&, double, double, std::string_view) override {}
  void reals(std::string_view, std::vector<double>&, double, double, std::string_view) override {}
  void flag(std::string_view, bool&, std::string_view) override {}
  void choice(std::string_view, std::string&, std::span<const std::string_view>, std::string_view) override {}
  void file(std::string_view, std::string&, std::string_view) override {}
  void press(std::string_view, InnerPress& value, Inside, std::string_view) override {
    if (value) state_.press(*value);
  }
  void presses(std::string_view, std::vector<InnerPress>& values, Inside, std::string_view) override {
    for (InnerPress& it : values) state_.press(*it);
  }

 private:
  StateVisitor& state_;
};

class Writer : public StateVisitor {
 public:
  using StateVisitor::StateVisitor;
  std::string state;

 protected:
  void bytes(std::byte* data, std::size_t n) override { state.append(reinterpret_cast<const char*>(data), n); }
};

class Reader : public StateVisitor {
 public:
  Reader(std::string_view state, const ModelConfig& config, std::int64_t n_tokens)
      : StateVisitor(config, n_tokens), state_(state) {}
  bool at_end() const { return state_.empty(); }

 protected:
  void bytes(std::byte* data, std::size_t n) override {
    if (n > state_.size()) fail("the state of its press is too short");
    if (n > 0) std::memcpy(data, state_.data(), n);
    state_.remove_prefix(n);
  }

 private:
  std::string_view state_;
};

}  // namespace

void StateVisitor::integer(std::int64_t& value, std::int64_t min, std::int64_t max) {
  bytes(reinterpret_cast<std::byte*>(&value), sizeof value);
  if (value < min || value > max) fail("the state of its press has {} where {} to {} can be", value, min, max);
}

void StateVisitor::press(Press& press) {
  press.visit_state(*this);
  InnerPresses inside(*this);
  press.visit_parameters(inside);
}

void StateVisitor::cannot_list() const {
  fail_usage(
      "carries what it has observed, and does not list it (Press::visit_state()); what it has compressed cannot be "
      "saved");
}

void StateVisitor::refuse_size() { fail("the state of its press does not fit the model"); }

std::string press_state(Press& press, const ModelConfig& config, std::int64_t n_tokens) {
  Writer writer(config, n_tokens);
  writer.press(press);
  return std::move(writer.state);
}

void check_lists_state(const Press& press, const ModelConfig& config) { press_state(*press.clone(), config, 0); }

void set_press_state(Press& press, std::string_view state, const ModelConfig& config, std::int64_t n_tokens) {
  Reader reader(state, config, n_tokens);
  reader.press(press);
  if (!reader.at_end()) fail("the state of its press is too long");
}

}  // namespace kvpress
