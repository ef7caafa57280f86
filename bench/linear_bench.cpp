// The products of the models' layers. GFLOP/s counts 2 operations a weight and row; GB/s counts the weights once.
//
// BM_Linear: one product again and again, its weights in the caches if they fit. BM_Token: the products of one decoded
// token of a model of that shape in their order, from weights that fit no cache. BM_Read: a plain loop over as many
// bytes, the limit of BM_Token.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kvpress/base/threads.h"
#include "kvpress/ops/product/linear.h"
#include "ops/isa.h"
#include "ops/product/half_weights.h"
#include "ops/product/twelve_bit.h"
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

/// How a product's weights are held, and what it computes in.
struct Weights {
  const char* name;
  DType compute, held;
  bool twelve_bit = false;
};
const std::vector<Weights>& kinds_of_weights() {
  static const std::vector<Weights> kinds = [] {
    std::vector<Weights> found = {{"f32", DType::f32, DType::f32},
                                  {"bf16_in_f32", DType::f32, DType::bf16},
                                  {"f16_in_f32", DType::f32, DType::f16}};
    if (has_fast_bfloat16()) found.push_back({"bf16", DType::bf16, DType::bf16});
    if (TwelveBitWeights::fast()) found.push_back({"bf16_in_12_bits", DType::bf16, DType::bf16, true});
    return found;
  }();
  return kinds;
}

Linear random_linear(std::int64_t out, std::int64_t in, const Weights& weights, PageArena* arena) {
  const auto weight = bench::random_values(out * in);
  const WeightRows rows = [&](std::int64_t first, std::int64_t n, float* to) {
    std::copy_n(weight.data() + first * in, n * in, to);
  };
  PageArena own;
  PageArena& place = arena != nullptr ? *arena : own;
  if (weights.held != weights.compute) {
    return {std::make_shared<HalfWeights>(out, in, weights.held, rows, place), {}, weights.compute};
  }
  if (weights.twelve_bit) {
    return {std::make_shared<TwelveBitWeights>(*TwelveBitWeights::pack(out, in, rows, place)), {}, weights.compute};
  }
  return {out, in, rows, {}, weights.compute, Activation::none, arena};
}

void multiply(benchmark::State& state, Shape shape, const Weights& kind, std::int64_t rows) {
  const Linear linear = random_linear(shape.out, shape.in, kind, nullptr);
  const DType type = kind.compute;
  auto x = bench::random_elements(rows * shape.in, type);
  AlignedVector<float> y(static_cast<std::size_t>(rows * shape.out));
  for (auto _ : state) linear({x.data(), type, rows, shape.in}, {y.data(), DType::f32, rows, shape.out});
  const auto weights = static_cast<double>(shape.out * shape.in);
  state.counters["GFLOP/s"] =
      benchmark::Counter(2e-9 * weights * static_cast<double>(rows), benchmark::Counter::kIsIterationInvariantRate);
  if (rows < 16) {
    state.counters["GB/s"] =
        benchmark::Counter(1e-9 * static_cast<double>(linear.bytes()), benchmark::Counter::kIsIterationInvariantRate);
  }
  state.SetLabel(std::string(linear.kernel(rows)));
}

/// A model's products; the output's come last.
struct Decoder {
  const char* name;
  int n_layers;
  std::vector<Shape> layer;
  Shape output;
};
const Decoder kDecoders[] = {
    {"pythia-70m",
     6,
     {{"qkv", 1536, 512}, {"attention_out", 512, 512}, {"mlp_in", 2048, 512}, {"mlp_out", 512, 2048}},
     {"output", 50304, 512}},
    {"smollm2-135m",
     30,
     {{"qkv", 960, 576}, {"attention_out", 576, 576}, {"gate_up", 3072, 576}, {"mlp_out", 576, 1536}},
     {"output", 49152, 576}}};

void decode_token(benchmark::State& state, const Decoder& decoder, const Weights& kind, std::int64_t rows) {
  const DType type = kind.compute;
  PageArena arena;
  std::vector<Linear> products;
  for (int l = 0; l < decoder.n_layers; ++l) {
    for (const Shape& shape : decoder.layer) products.push_back(random_linear(shape.out, shape.in, kind, &arena));
  }
  products.push_back(random_linear(decoder.output.out, decoder.output.in, kind, &arena));
  double bytes = 0;
  for (const Linear& it : products) bytes += static_cast<double>(it.bytes());
  auto x = bench::random_elements(rows * 4096, type);
  AlignedVector<float> y(static_cast<std::size_t>(rows * 51200));
  for (auto _ : state) {
    for (const Linear& it : products) {
      it({x.data(), type, rows, it.in_features()}, {y.data(), DType::f32, rows, it.out_features()});
    }
  }
  state.counters["GB/s"] = benchmark::Counter(1e-9 * bytes, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["MB"] = 1e-6 * bytes;
  state.SetLabel(std::string(products.front().kernel(rows)));
}

/// Adds up the bytes of memory in as many stretches as there are threads.
void read(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0)) << 20;
  PageArena arena;
  const auto memory = arena.take(bytes);
  std::memset(memory.get(), 1, bytes);
  const auto n = static_cast<std::int64_t>(bytes / sizeof(std::int64_t));
  const auto* values = reinterpret_cast<const std::int64_t*>(memory.get());
  for (auto _ : state) {
    std::int64_t sum = 0;
#pragma omp parallel for schedule(static) reduction(+ : sum)
    for (std::int64_t i = 0; i < n; i += 8) {
      // One line a step: reading the rest of it costs memory nothing.
      sum += values[i];
    }
    benchmark::DoNotOptimize(sum);
  }
  state.counters["GB/s"] =
      benchmark::Counter(1e-9 * static_cast<double>(bytes), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(read)
    ->Name("BM_Read/MB")
    ->Arg(52)
    ->Arg(104)
    ->Arg(269)
    ->Arg(538)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

const int kRegistered = [] {
  for (const Weights& kind : kinds_of_weights()) {
    for (const Shape& shape : kShapes) {
      for (const std::int64_t rows : {1, 4, 256, 2048}) {
        if (shape.out > 40000 && rows > 256) continue;  // 400 MB of logits
        const auto name = std::string("BM_Linear/") + kind.name + "/" + shape.name + "/" + std::to_string(rows);
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) { multiply(s, shape, kind, rows); })
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
      }
    }
    for (const Decoder& decoder : kDecoders) {
      for (const std::int64_t rows : {1, 2, 4}) {
        const auto name = std::string("BM_Token/") + kind.name + "/" + decoder.name + "/" + std::to_string(rows);
        benchmark::RegisterBenchmark(name.c_str(),
                                     [=, &decoder](benchmark::State& s) { decode_token(s, decoder, kind, rows); })
            ->UseRealTime()
            ->Unit(benchmark::kMillisecond);
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace kvpress
