// Kernels that go over rows, selection, and losses.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ops/cross_entropy.h"
#include "ops/rowwise.h"
#include "ops/topk.h"
#include "random.h"

namespace kvpress {
namespace {

void count_bytes(benchmark::State& state, std::int64_t each) {
  state.counters["GB/s"] =
      benchmark::Counter(1e-9 * static_cast<double>(each), benchmark::Counter::kIsIterationInvariantRate);
}

void count_rows(benchmark::State& state, std::int64_t each) {
  state.counters["per_row"] = benchmark::Counter(
      static_cast<double>(each), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

constexpr std::int64_t kRows = 2048;

void norm(benchmark::State& state, bool layer, DType type) {
  const std::int64_t cols = state.range(0);
  const auto x = bench::random_values(kRows * cols);
  const auto weight = bench::random_values(cols);
  ActivationBuffer buffer;
  const Activations out = buffer.get(type, kRows, cols);
  const Matrix<const float> rows(x.data(), kRows, cols);
  for (auto _ : state) {
    if (layer) {
      layer_norm(rows, weight.data(), weight.data(), 1e-5f, out);
    } else {
      rms_norm(rows, weight.data(), 1e-5f, out);
    }
  }
  count_bytes(state, kRows * cols * static_cast<std::int64_t>(4 + size_of(type)));
}

void silu(benchmark::State& state, DType type) {
  const std::int64_t cols = state.range(0);
  const auto x = bench::random_values(kRows * 2 * cols);
  ActivationBuffer buffer;
  const Activations out = buffer.get(type, kRows, cols);
  for (auto _ : state) silu_multiply(Matrix<const float>(x.data(), kRows, 2 * cols), out);
  count_bytes(state, kRows * cols * static_cast<std::int64_t>(8 + size_of(type)));
}

void select_top(benchmark::State& state) {
  const auto scores = bench::random_values(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(top_k(scores, state.range(0) / 2));
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void losses(benchmark::State& state) {
  const std::int64_t rows = 64;
  const std::int64_t cols = state.range(0);
  const auto logits = bench::random_values(rows * cols);
  const std::vector<std::int32_t> targets(static_cast<std::size_t>(rows), 7);
  std::vector<float> nll(targets.size());
  for (auto _ : state) cross_entropy(Matrix<const float>(logits.data(), rows, cols), targets, nll);
  count_rows(state, rows);
}

void divergences(benchmark::State& state) {
  const std::int64_t rows = 64;
  const std::int64_t cols = state.range(0);
  const auto p = bench::random_values(rows * cols, 1);
  const auto q = bench::random_values(rows * cols, 2);
  const std::vector<float> logs(static_cast<std::size_t>(rows), 12.0f);
  for (auto _ : state) {
    ComparedRows compared(logs, logs);
    compared.add(Matrix<const float>(p.data(), rows, cols), Matrix<const float>(q.data(), rows, cols), 0);
    benchmark::ClobberMemory();
  }
  count_rows(state, rows);
}

const int kRegistered = [] {
  const auto add = [](const std::string& name, auto function) {
    return benchmark::RegisterBenchmark(name.c_str(), function)->UseRealTime()->Unit(benchmark::kMicrosecond);
  };
  for (const DType type : {DType::f32, DType::bf16}) {
    const std::string of = std::string("/") + bench::short_name(type);
    add("BM_LayerNorm" + of, [=](benchmark::State& s) { norm(s, true, type); })->Arg(512);
    add("BM_RmsNorm" + of, [=](benchmark::State& s) { norm(s, false, type); })->Arg(576);
    add("BM_SiluMultiply" + of, [=](benchmark::State& s) { silu(s, type); })->Arg(1536);
  }
  add("BM_TopK", select_top)->Arg(1024)->Arg(8192)->Arg(131072);
  add("BM_CrossEntropy", losses)->Arg(50304);
  add("BM_ComparedRows", divergences)->Arg(50304);
  return 0;
}();

}  // namespace
}  // namespace kvpress
