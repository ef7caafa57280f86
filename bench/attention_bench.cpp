// Attention over one layer. GFLOP/s counts 4 x head_dim operations for each score that causality leaves; GB/s counts
// the keys and values once.
#include <benchmark/benchmark.h>

#include <cmath>
#include <string>
#include <vector>

#include "kvpress/base/threads.h"
#include "kvpress/ops/attention/attention.h"
#include "ops/rowwise.h"
#include "random.h"

namespace kvpress {
namespace {

struct Shape {
  const char* name;
  std::int64_t heads, kv_heads, head_dim;
};
constexpr Shape kPythia70m{"pythia-70m", 8, 8, 64};
constexpr Shape kSmolLM2{"smollm2-135m", 9, 3, 64};
constexpr Shape kLlama8b{"llama-8b", 32, 8, 128};

struct Layer {
  Shape shape;
  DType type;
  std::int64_t n, n_new;
  std::vector<AlignedVector<std::byte>> stores;
  std::vector<HeadKV> kv;
  AlignedVector<float> queries, log_sum_exp;
  std::vector<AlignedVector<float>> columns;
  std::vector<float*> column_pointers;
  ActivationBuffer buffer;
  Activations out;

  Layer(const Shape& shape_, DType type_, std::int64_t n_, std::int64_t n_new_)
      : shape(shape_), type(type_), n(n_), n_new(n_new_) {
    for (std::int64_t h = 0; h < shape.kv_heads; ++h) {
      stores.push_back(bench::random_elements(n * shape.head_dim, type, static_cast<std::uint32_t>(2 * h + 1)));
      stores.push_back(bench::random_elements(n * shape.head_dim, type, static_cast<std::uint32_t>(2 * h + 2)));
      columns.emplace_back(static_cast<std::size_t>(n), 0.0f);
    }
    for (std::size_t h = 0; h < columns.size(); ++h) {
      kv.push_back({stores[2 * h].data(), stores[2 * h + 1].data(), n});
      column_pointers.push_back(columns[h].data());
    }
    queries = bench::random_values(n_new * shape.heads * shape.head_dim, 99);
    log_sum_exp.resize(static_cast<std::size_t>(n_new * shape.heads));
    out = buffer.get(type == DType::bf16 ? DType::bf16 : DType::f32, n_new, shape.heads * shape.head_dim);
  }

  /// All of it in 8 or 4 bits.
  void quantize(int bits) {
    const std::int64_t d = shape.head_dim;
    AlignedVector<float> rows(static_cast<std::size_t>(n * d));
    for (HeadKV& head : kv) {
      const auto pack = [&](const void* from, std::int64_t n_lines, auto quantize_group) -> const std::byte* {
        auto& blocks = stores.emplace_back(kv_block_bytes(n_lines, bits) * static_cast<std::size_t>(n / kKVGroup));
        to_float(from, type, rows.data(), n * d);
        for (std::int64_t g = 0; g < n / kKVGroup; ++g) {
          quantize_group(rows.data() + g * kKVGroup * d, d, bits,
                         blocks.data() + static_cast<std::size_t>(g) * kv_block_bytes(n_lines, bits));
        }
        return blocks.data();
      };
      head.older = {pack(head.keys, d, quantize_keys), pack(head.values, value_lines(d), quantize_values), n, bits};
    }
  }

  AttentionArgs args() {
    return {queries.data(),
            n_new,
            shape.heads,
            shape.head_dim,
            1.0f / std::sqrt(static_cast<float>(shape.head_dim)),
            kv,
            type,
            log_sum_exp.data()};
  }
  double scores() const {
    return static_cast<double>(shape.heads) * static_cast<double>(n_new) *
           (static_cast<double>(n) - static_cast<double>(n_new - 1) / 2);
  }
  double bytes() const {
    return static_cast<double>(shape.kv_heads * n * shape.head_dim) * static_cast<double>(2 * size_of(type));
  }
};

void count_operations(benchmark::State& state, double each) {
  state.counters["GFLOP/s"] =
      benchmark::Counter(each * 1e-9, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
}

void count_bytes(benchmark::State& state, double each) {
  state.counters["GB/s"] =
      benchmark::Counter(each * 1e-9, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000);
}

void attend(benchmark::State& state, Shape shape, DType type, std::int64_t n, std::int64_t n_new) {
  Layer layer(shape, type, n, n_new);
  AttentionArgs args = layer.args();
  args.log_sum_exp = nullptr;
  for (auto _ : state) attention(args, layer.out);
  count_operations(state, layer.scores() * 4 * static_cast<double>(shape.head_dim));
  if (n_new < 16) count_bytes(state, layer.bytes());
}

/// With the denominators that some presses want.
void attend_with_log_sums(benchmark::State& state, Shape shape, DType type, std::int64_t n) {
  Layer layer(shape, type, n, n);
  for (auto _ : state) attention(layer.args(), layer.out);
  count_operations(state, layer.scores() * 4 * static_cast<double>(shape.head_dim));
}

/// With the column sums that a press wants, out of the same pass where the kernels have that.
void attend_with_sums(benchmark::State& state, Shape shape, DType type, std::int64_t n) {
  Layer layer(shape, type, n, n);
  AttentionArgs args = layer.args();
  args.column_sums = layer.column_pointers;
  for (auto _ : state) attention(args, layer.out);
  count_operations(state, layer.scores() * 4 * static_cast<double>(shape.head_dim));
}

void attend_quantized(benchmark::State& state, Shape shape, int bits, std::int64_t n) {
  Layer layer(shape, DType::f32, n, 1);
  layer.quantize(bits);
  for (auto _ : state) attention(layer.args(), layer.out);
  count_operations(state, layer.scores() * 4 * static_cast<double>(shape.head_dim));
  const auto block = kv_block_bytes(shape.head_dim, bits) + kv_block_bytes(value_lines(shape.head_dim), bits);
  count_bytes(state, static_cast<double>(shape.kv_heads * n / kKVGroup) * static_cast<double>(block));
}

void column_sums(benchmark::State& state, Shape shape, DType type, std::int64_t n) {
  Layer layer(shape, type, n, n);
  attention(layer.args(), layer.out);
  for (auto _ : state) attention_column_sums(layer.args(), layer.column_pointers);
  count_operations(state, layer.scores() * 2 * static_cast<double>(shape.head_dim));
}

void mean_weights(benchmark::State& state, Shape shape, DType type, std::int64_t n, std::int64_t n_new) {
  Layer layer(shape, type, n, n_new);
  for (auto _ : state) attention_mean_weights(layer.args(), layer.column_pointers);
  count_operations(state, layer.scores() * 2 * static_cast<double>(shape.head_dim));
}

/// What the memory gives: a sum over as many bytes as the decode benchmark's keys and values.
void read_memory(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  AlignedVector<float> memory(static_cast<std::size_t>(n / 4), 1.0f);
  std::vector<float> sums(static_cast<std::size_t>(threads()) * 16);
  for (auto _ : state) {
    parallel_for(n / (1 << 16), [&](std::int64_t block) {
      float sum[16] = {};
      const float* at = memory.data() + block * (1 << 14);
      for (int i = 0; i < 1 << 14; i += 16) {
        for (int j = 0; j < 16; ++j) sum[j] += at[i + j];
      }
      for (int j = 1; j < 16; ++j) sum[0] += sum[j];
      benchmark::DoNotOptimize(sum[0]);
    });
  }
  count_bytes(state, static_cast<double>(n));
}

void add(const std::string& name, auto function) {
  benchmark::RegisterBenchmark(name.c_str(), function)->UseRealTime()->Unit(benchmark::kMillisecond);
}

const int kRegistered = [] {
  for (const DType type : {DType::f32, DType::bf16}) {
    const std::string of = std::string("/") + bench::short_name(type) + "/";
    for (const std::int64_t n : {512, 2048, 8192}) {
      add("BM_AttentionPrefill" + of + std::to_string(n),
          [=](benchmark::State& s) { attend(s, kPythia70m, type, n, n); });
    }
    add("BM_AttentionPrefill" + of + "smollm2-135m/4096",
        [=](benchmark::State& s) { attend(s, kSmolLM2, type, 4096, 4096); });
    add("BM_AttentionPrefillWithLogSums" + of + "8192",
        [=](benchmark::State& s) { attend_with_log_sums(s, kPythia70m, type, 8192); });
    add("BM_AttentionPrefillWithSums" + of + "8192",
        [=](benchmark::State& s) { attend_with_sums(s, kPythia70m, type, 8192); });
    add("BM_AttentionPrefillWithSums" + of + "smollm2-135m/4096",
        [=](benchmark::State& s) { attend_with_sums(s, kSmolLM2, type, 4096); });
    add("BM_AttentionPrefill" + of + "llama-8b/2048",
        [=](benchmark::State& s) { attend(s, kLlama8b, type, 2048, 2048); });
    add("BM_AttentionChunk" + of + "64x8192", [=](benchmark::State& s) { attend(s, kPythia70m, type, 8192, 64); });
    add("BM_AttentionChunk" + of + "512x8192", [=](benchmark::State& s) { attend(s, kPythia70m, type, 8192, 512); });
    for (const Shape& shape : {kPythia70m, kSmolLM2, kLlama8b}) {
      for (const std::int64_t n : {1024, 32768}) {
        add("BM_AttentionDecode" + of + shape.name + "/" + std::to_string(n),
            [=](benchmark::State& s) { attend(s, shape, type, n, 1); });
      }
    }
    for (const int bits : {8, 4}) {
      if (type != DType::f32) continue;
      for (const Shape& shape : {kPythia70m, kSmolLM2, kLlama8b}) {
        for (const std::int64_t n : {1024, 32768}) {
          add("BM_AttentionDecode/int" + std::to_string(bits) + "/" + shape.name + "/" + std::to_string(n),
              [=](benchmark::State& s) { attend_quantized(s, shape, bits, n); });
        }
      }
    }
    add("BM_ColumnSums" + of + "8192", [=](benchmark::State& s) { column_sums(s, kPythia70m, type, 8192); });
    add("BM_MeanWeights" + of + "64x8192", [=](benchmark::State& s) { mean_weights(s, kPythia70m, type, 8192, 64); });
    add("BM_MeanWeights" + of + "1x8192", [=](benchmark::State& s) { mean_weights(s, kPythia70m, type, 8192, 1); });
    add("BM_MeanWeights" + of + "smollm2-135m/64x8192",
        [=](benchmark::State& s) { mean_weights(s, kSmolLM2, type, 8192, 64); });
  }
  benchmark::RegisterBenchmark("BM_ReadMemory", read_memory)
      ->Arg(16 << 20)
      ->Arg(256 << 20)
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
  return 0;
}();

}  // namespace
}  // namespace kvpress
