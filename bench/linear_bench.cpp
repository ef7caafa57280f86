// The products of the models' layers. GFLOP/s counts 2 operations a weight and row; GB/s counts the weights once.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <vector>

#include "kvpress/ops/linear.h"
#include "random.h"

namespace kvpress {
namespace {

struct Shape {
  const char* name;
  std::int64_t out, in;
};
constexpr Shape kShapes[] = {
    {"pythia-70m.qkv", 1536, 512},       {"pythia-70m.attention_out", 512, 512}, {"pythia-70m.mlp_in", 2048, 512},
    {"pythia-70m.mlp_out", 512, 2048},   {"pythia-70m.head", 50304, 512},        {"smollm2-135m.qkv", 960, 576},
    {"smollm2-135m.gate_up", 3072, 576}, {"smollm2-135m.mlp_out", 576, 1536},    {"smollm2-135m.head", 49152, 576},
};

void multiply(benchmark::State& state, Shape shape, DType type, std::int64_t rows) {
  const auto weight = bench::random_values(shape.out * shape.in);
  const Linear linear(
      shape.out, shape.in,
      [&](std::int64_t first, std::int64_t n, float* to) {
        std::copy_n(weight.data() + first * shape.in, n * shape.in, to);
      },
      {}, type);
  auto x = bench::random_elements(rows * shape.in, type);
  AlignedVector<float> y(static_cast<std::size_t>(rows * shape.out));
  for (auto _ : state) linear({x.data(), type, rows, shape.in}, {y.data(), DType::f32, rows, shape.out});
  const auto weights = static_cast<double>(shape.out * shape.in);
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * weights * static_cast<double>(rows), benchmark::Counter::kIsIterationInvariantRate);
  if (rows < 16) {
    state.counters["GB/s"] = benchmark::Counter(1e-9 * weights * static_cast<double>(size_of(type)),
                                                benchmark::Counter::kIsIterationInvariantRate);
  }
  state.SetLabel(std::string(linear.kernel(rows)));
}

const int kRegistered = [] {
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const Shape& shape : kShapes) {
      for (const std::int64_t rows : {1, 4, 256, 2048}) {
        if (shape.out > 40000 && rows > 256) continue;  // 400 MB of logits
        const auto name =
            std::string("BM_Linear/") + bench::short_name(type) + "/" + shape.name + "/" + std::to_string(rows);
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) { multiply(s, shape, type, rows); })
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace kvpress
