// A linear layer with trained weights of a press.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "kvpress/ops/product/linear.h"

namespace kvpress {

/// Packs its weights on the first call, in the type of the activations. Several threads may call one.
class LazyLinear {
 public:
  LazyLinear(std::vector<float> weight, std::vector<float> bias, std::int64_t in, Activation activation)
      : weight_(std::move(weight)), bias_(std::move(bias)), in_(in), activation_(activation) {}

  std::int64_t out() const { return static_cast<std::int64_t>(bias_.size()); }
  void operator()(const Activations& x, const Activations& y) { packed(x.type)(x, y); }

 private:
  Linear packed(DType type) {
    static std::mutex mutex;  // one for all: packing is rare
    const std::scoped_lock lock(mutex);
    if (!ready_ || packed_.type() != type) {
      const WeightRows rows = [&](std::int64_t first, std::int64_t n, float* to) {
        std::copy_n(weight_.begin() + first * in_, n * in_, to);
      };
      packed_ = Linear(out(), in_, rows, bias_, type, activation_);
      ready_ = true;
    }
    return packed_;
  }

  std::vector<float> weight_;  // [out, in]
  std::vector<float> bias_;
  std::int64_t in_;
  Activation activation_;
  bool ready_ = false;
  Linear packed_;
};

}  // namespace kvpress
