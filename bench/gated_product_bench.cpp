// The first products of a gated feed-forward and its gate: by oneDNN and a pass over what it gives, and in one on
// tiles. GFLOP/s counts the products alone.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <string>

#include "ops/gates.h"
#include "ops/product/gated_product.h"
#include "ops/product/twelve_bit.h"
#include "random.h"

namespace kvpress {
namespace {

struct Shape {
  const char* name;
  std::int64_t n, in;
};
constexpr Shape kShapes[] = {{"smollm2-135m", 1536, 576}, {"qwen3-0.6b", 3072, 1024}, {"llama-1b", 8192, 2048}};

void gated(benchmark::State& state, const Shape& shape, bool in_one) {
  const std::int64_t rows = state.range(0);
  const auto weight = bench::random_values(2 * shape.n * shape.in);
  PageArena arena;
  const auto held = TwelveBitWeights::pack(
      2 * shape.n, shape.in,
      [&](std::int64_t first, std::int64_t count, float* to) {
        std::copy_n(weight.data() + first * shape.in, count * shape.in, to);
      },
      arena);
  const Linear product(std::make_shared<TwelveBitWeights>(*held), {}, DType::bf16);
  auto x = bench::random_elements(rows * shape.in, DType::bf16, 2);
  const Activations input{x.data(), DType::bf16, rows, shape.in};
  ActivationBuffer wide, inner;
  const Activations out = inner.get(DType::bf16, rows, shape.n);
  const GatedKernels* const kernels = gated_kernels_for(product, Activation::silu, rows);
  if (in_one && kernels == nullptr) {
    state.SkipWithError("not on tiles here");
    return;
  }
  for (auto _ : state) {
    if (in_one) {
      gated_product(*kernels, product, input, out);
    } else {
      const Activations both = wide.get(DType::f32, rows, 2 * shape.n);
      product(input, both);
      gate_multiply(both.as_float(), Activation::silu, out);
    }
  }
  state.counters["GFLOP/s"] = benchmark::Counter(4e-9 * static_cast<double>(rows * shape.n * shape.in),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

const int kRegistered = [] {
  if (!TwelveBitWeights::fast()) return 0;
  for (const Shape& shape : kShapes) {
    for (const bool in_one : {false, true}) {
      const std::string name = std::string("BM_Gated") + (in_one ? "InOne/" : "/") + shape.name;
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) { gated(s, shape, in_one); })
          ->Arg(64)
          ->Arg(256)
          ->Arg(1024)
          ->MeasureProcessCPUTime()
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
  return 0;
}();

}  // namespace
}  // namespace kvpress
