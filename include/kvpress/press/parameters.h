// The parameters of a press. visit_parameters() lists each parameter once; parsing, help and error messages are derived
// from this list.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// A press inside another press: adakv(snapkv). Owns it; a copy owns a clone.
class InnerPress {
 public:
  InnerPress() = default;
  InnerPress(const InnerPress& other) : text(other.text), press_(other.press_ ? other.press_->clone() : nullptr) {}
  InnerPress(InnerPress&&) noexcept = default;
  InnerPress& operator=(InnerPress other) noexcept {
    text.swap(other.text);
    press_.swap(other.press_);
    return *this;
  }
  ~InnerPress() = default;
  InnerPress(std::string written, std::unique_ptr<Press> press) : text(std::move(written)), press_(std::move(press)) {}

  explicit operator bool() const { return press_ != nullptr; }
  Press* operator->() const { return press_.get(); }
  Press& operator*() const { return *press_; }

  std::string text;  ///< as written

 private:
  std::unique_ptr<Press> press_;
};

/// The kinds of press that a parameter accepts.
enum class Inside : std::uint8_t {
  scores,     ///< presses that score
  selection,  ///< presses that score or select
  any,        ///< every press that works layer by layer
  every       ///< also presses that work on all layers at once
};

/// Called once per parameter by visit_parameters(). Implementations read defaults, set values and print them. `min` and
/// `max` are inclusive.
class ParameterVisitor {
 public:
  static constexpr double kNoMax = std::numeric_limits<double>::infinity();

  virtual ~ParameterVisitor() = default;
  virtual void integer(std::string_view name, std::int64_t& value, std::int64_t min, std::string_view meaning) = 0;
  virtual void optional_integer(std::string_view name, std::optional<std::int64_t>& value, std::int64_t min,
                                std::string_view meaning) = 0;
  virtual void real(std::string_view name, double& value, double min, double max, std::string_view meaning) = 0;
  void real(std::string_view name, double& value, double min, std::string_view meaning) {
    real(name, value, min, kNoMax, meaning);
  }
  virtual void optional_real(std::string_view name, std::optional<double>& value, double min, double max,
                             std::string_view meaning) = 0;
  /// A list, written [0.1, 0.2].
  virtual void reals(std::string_view name, std::vector<double>& values, double min, double max,
                     std::string_view meaning) = 0;
  virtual void flag(std::string_view name, bool& value, std::string_view meaning) = 0;
  /// One of the words in `choices`.
  virtual void choice(std::string_view name, std::string& value, std::span<const std::string_view> choices,
                      std::string_view meaning) = 0;
  /// A path; empty if not given.
  virtual void file(std::string_view name, std::string& value, std::string_view meaning) = 0;
  /// An inner press. The name of the parameter may be omitted: adakv(snapkv).
  virtual void press(std::string_view name, InnerPress& value, Inside inside, std::string_view meaning) = 0;
  /// One or more inner presses: composed(snapkv, think).
  virtual void presses(std::string_view name, std::vector<InnerPress>& values, Inside inside,
                       std::string_view meaning) = 0;
};

}  // namespace kvpress
