// What a press carries from one pass to the next, for sequences that are saved and restored. A press lists it once, in
// Press::visit_state(); what it keeps beside the entries (needs().n_carried) is the cache's and not listed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kvpress/press/press.h"

namespace kvpress {

/// Writes what it is shown, or reads it: then values are replaced, and what does not fit the model is an Error.
class StateVisitor {
 public:
  StateVisitor(const ModelConfig& config, std::int64_t n_tokens) : config_(config), n_tokens_(n_tokens) {}
  virtual ~StateVisitor() = default;

  const ModelConfig& config() const { return config_; }
  /// Of the text so far: counts are at most this.
  std::int64_t n_tokens() const { return n_tokens_; }

  /// A number; one that is read must be within [min, max].
  void integer(std::int64_t& value, std::int64_t min, std::int64_t max);
  /// Numbers; those that are read must be `n`, or none.
  template <typename T, typename Allocator>
  void numbers(std::vector<T, Allocator>& values, std::int64_t n) {
    std::int64_t size = std::ssize(values);
    integer(size, 0, n);
    if (size != 0 && size != n) refuse_size();
    values.resize(static_cast<std::size_t>(size));
    bytes(reinterpret_cast<std::byte*>(values.data()), values.size() * sizeof(T));
  }
  /// A list with an element for each of the first layers; `body` visits one.
  template <typename T, typename Body>
  void layers(std::vector<T>& values, Body&& body) {
    std::int64_t size = std::ssize(values);
    integer(size, 0, config_.n_layers);
    values.resize(static_cast<std::size_t>(size));
    for (T& it : values) body(it);
  }
  /// A press that is no parameter, with those inside it.
  void press(Press& press);
  /// For a press that carries what it cannot list. Throws UsageError.
  [[noreturn]] virtual void cannot_list() const;

 protected:
  virtual void bytes(std::byte* data, std::size_t n) = 0;

 private:
  [[noreturn]] static void refuse_size();

  const ModelConfig& config_;
  std::int64_t n_tokens_;
};

/// The state of a press and of those inside it, after a text of n_tokens. Throws UsageError for a press that does not
/// list its state.
std::string press_state(Press& press, const ModelConfig& config, std::int64_t n_tokens);
/// Throws what press_state() would throw, before there is anything to save.
void check_lists_state(const Press& press, const ModelConfig& config);
/// Puts the press into that state. Throws Error if `state` does not fit the press and the model.
void set_press_state(Press& press, std::string_view state, const ModelConfig& config, std::int64_t n_tokens);

}  // namespace kvpress
