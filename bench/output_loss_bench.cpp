// From final hidden states to losses, and to KL and top-1 of two runs. GFLOP/s counts the products alone.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "ops/isa.h"
#include "ops/output_loss.h"
#include "ops/product/quantized.h"
#include "ops/product/twelve_bit.h"
#include "random.h"

namespace kvpress {
namespace {

struct Shape {
  const char* name;
  std::int64_t vocab, hidden;
};
constexpr Shape kShapes[] = {{"pythia-70m", 50304, 512},
                             {"smollm2-135m", 49152, 576},
                             {"qwen3-0.6b", 151936, 1024},
                             {"llama-1b", 128256, 2048},
                             {"llama-8b", 128256, 4096}};

enum class Held : std::uint8_t { packed, twelve_bit, int8 };

Linear output_product(const Shape& shape, DType type, Held held) {
  const auto weight = bench::random_values(shape.vocab * shape.hidden);
  const WeightRows rows = [&](std::int64_t first, std::int64_t n, float* to) {
    for (std::int64_t i = 0; i < n * shape.hidden; ++i) to[i] = 0.05f * weight[first * shape.hidden + i];
  };
  PageArena own;
  if (held == Held::twelve_bit) {
    return {
        std::make_shared<TwelveBitWeights>(*TwelveBitWeights::pack(shape.vocab, shape.hidden, rows, own)), {}, type};
  }
  if (held == Held::int8) {
    const QuantRows quants = [&](std::int64_t first, std::int64_t n, const QuantParts& to) {
      std::vector<float> values(static_cast<std::size_t>(n * shape.hidden));
      rows(first, n, values.data());
      const std::int64_t blocks = (shape.hidden + 31) / 32;
      for (std::int64_t r = 0; r < n; ++r) {
        quantize_row(values.data() + r * shape.hidden, shape.hidden, kInt8Format,
                     {to.codes + r * blocks * 32, to.scales + r * blocks, nullptr});
      }
    };
    return {std::make_shared<QuantizedWeights>(shape.vocab, shape.hidden, kInt8Format, quants, own), {}, type};
  }
  return {shape.vocab, shape.hidden, rows, {}, type};
}

void count(benchmark::State& state, const Shape& shape, std::int64_t rows, int products) {
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * products * static_cast<double>(rows * shape.vocab * shape.hidden),
                         benchmark::Counter::kIsIterationInvariantRate);
}

void cross_entropies(benchmark::State& state, const Shape& shape, DType type, Held held) {
  const std::int64_t rows = state.range(0);
  const Linear head = output_product(shape, type, held);
  const auto x = bench::random_values(rows * shape.hidden, 2);
  const std::vector<std::int32_t> targets(static_cast<std::size_t>(rows), 7);
  std::vector<float> nll(targets.size());
  for (auto _ : state) output_cross_entropy(Matrix<const float>(x.data(), rows, shape.hidden), head, targets, nll);
  count(state, shape, rows, 1);
}

void comparisons(benchmark::State& state, const Shape& shape, DType type, Held held) {
  const std::int64_t rows = state.range(0);
  const Linear head = output_product(shape, type, held);
  const auto x = bench::random_values(rows * shape.hidden, 2);
  auto y = bench::random_values(rows * shape.hidden, 3);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i] + 0.1f * y[i];
  const Matrix<const float> p(x.data(), rows, shape.hidden), q(y.data(), rows, shape.hidden);
  const std::vector<std::int32_t> targets(static_cast<std::size_t>(rows), 7);
  std::vector<float> nll(targets.size()), p_logs(targets.size()), q_logs(targets.size());
  std::vector<std::uint8_t> same_top(targets.size());
  output_cross_entropy(p, head, targets, nll, p_logs);
  output_cross_entropy(q, head, targets, nll, q_logs);
  for (auto _ : state) output_compare({p, p_logs}, {q, q_logs}, head, nll, same_top);
  count(state, shape, rows, 2);
}

const int kRegistered = [] {
  struct Kind {
    const char* name;
    DType type;
    Held held;
  };
  std::vector<Kind> kinds = {{"f32", DType::f32, Held::packed}};
  if (has_fast_bfloat16()) {
    kinds.push_back({"bf16", DType::bf16, Held::packed});
    if (TwelveBitWeights::fast()) kinds.push_back({"bf16_in_12_bits", DType::bf16, Held::twelve_bit});
    kinds.push_back({"bf16_in_8_bits", DType::bf16, Held::int8});
  }
  for (const Kind& kind : kinds) {
    for (const Shape& shape : kShapes) {
      const std::string name = std::string("/") + kind.name + "/" + shape.name;
      const auto add = [&](const char* what, auto function) {
        benchmark::RegisterBenchmark((what + name).c_str(),
                                     [=](benchmark::State& s) { function(s, shape, kind.type, kind.held); })
            ->Arg(512)
            ->Arg(8192)
            ->MeasureProcessCPUTime()
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
      };
      add("BM_OutputCrossEntropy", cross_entropies);
      add("BM_OutputCompare", comparisons);
    }
  }
  return 0;
}();

}  // namespace
}  // namespace kvpress
