#include "ops/product/twelve_bit.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kvpress/base/threads.h"
#include "ops/isa.h"
#include "ops/product/few_rows.h"
#include "ops/rowwise.h"

namespace kvpress {
namespace {

constexpr std::int64_t kPanel = kTwelveBitColumns;
constexpr std::int64_t kPanelVectors = kPanel / kColumns;
constexpr int kCodes = 16;
/// Rows that are looked at to choose the exponents, and words of 16 bits that hold two inputs of a panel.
constexpr std::int64_t kSampledRows = 128;
constexpr std::int64_t kPairWords = kTwelveBitBytes / 2;

constexpr int exponent(std::uint16_t bits) { return bits >> 7 & 0xff; }
constexpr bool is_stray(std::uint16_t bits, int first_exponent) {
  const int code = exponent(bits) - first_exponent;
  return exponent(bits) != 0 && (code < 1 || code >= kCodes);
}

float value(std::uint16_t bits) { return to_float(bf16{bits}); }

/// Where the parts of a weight stand among the words of its pair of inputs.
struct Place {
  std::int64_t word;
  int vector;

  Place(std::int64_t column, std::int64_t input)
      : word(column % kColumns * 2 + input % 2), vector(static_cast<int>(column / kColumns)) {}
  std::int64_t rest_word() const { return 32 + vector / 2 * 32 + word; }
  int code_shift() const { return 4 * vector; }
  int rest_shift() const { return 8 * (vector % 2); }
};

std::uint16_t* pair_words(void* panel, std::int64_t pair) {
  return static_cast<std::uint16_t*>(panel) + pair * kPairWords;
}

std::uint16_t weight_bits(const TwelveBitPanels& weights, std::int64_t panel, std::int64_t column, std::int64_t input) {
  const auto* words =
      static_cast<const std::uint16_t*>(weights.data) + (panel * weights.n_pairs + input / 2) * kPairWords;
  const Place place(column, input);
  const int code = words[place.word] >> place.code_shift() & 0xf;
  const int rest = words[place.rest_word()] >> place.rest_shift() & 0xff;
  const int found = code == 0 ? 0 : weights.first_exponent + code;
  return static_cast<std::uint16_t>((rest & 0x80) << 8 | found << 7 | (rest & 0x7f));
}

void pack_plain(const std::uint16_t* rows, std::int64_t stride, const TwelveBitPanels& panels, void* panel) {
  std::memset(panel, 0, static_cast<std::size_t>(panels.n_pairs * kTwelveBitBytes));
  for (std::int64_t c = 0; c < kPanel; ++c) {
    for (std::int64_t k = 0; k < 2 * panels.n_pairs; ++k) {
      const std::uint16_t bits = rows[c * stride + k];
      if (is_stray(bits, panels.first_exponent)) continue;
      const Place place(c, k);
      std::uint16_t* words = pair_words(panel, k / 2);
      const int code = exponent(bits) == 0 ? 0 : exponent(bits) - panels.first_exponent;
      const int rest = (bits >> 8 & 0x80) | (bits & 0x7f);
      words[place.word] = static_cast<std::uint16_t>(words[place.word] | code << place.code_shift());
      words[place.rest_word()] = static_cast<std::uint16_t>(words[place.rest_word()] | rest << place.rest_shift());
    }
  }
}

void multiply_plain(const TwelveBitPanels& weights, const std::uint16_t* x, std::int64_t n_rows, std::int64_t panel,
                    float* sums, std::int64_t stride) {
  for (std::int64_t r = 0; r < n_rows; ++r) {
    for (std::int64_t c = 0; c < kPanel; ++c) {
      float sum = 0;
      for (std::int64_t k = 0; k < weights.in; ++k) {
        sum += value(x[r * weights.in + k]) * value(weight_bits(weights, panel, c, k));
      }
      sums[r * stride + c] = sum;
    }
  }
}

void decode_plain(const TwelveBitPanels& weights, std::int64_t panel, std::int64_t n, std::uint16_t* const* out,
                  std::int64_t step) {
  for (std::int64_t c = 0; c < n * kColumns; ++c) {
    for (std::int64_t k = 0; k < 2 * weights.n_pairs; ++k) {
      out[c / kColumns][k / 2 * step + c % kColumns * 2 + k % 2] = weight_bits(weights, panel, c, k);
    }
  }
}

/// The rows of a panel in bfloat16, filled up with zeros: kPanel of 2 * n_pairs.
const std::vector<std::uint16_t>& panel_rows(const TwelveBitPanels& panels, const WeightRows& rows,
                                             std::int64_t panel) {
  thread_local AlignedVector<float> floats;
  thread_local std::vector<std::uint16_t> bits;
  const std::int64_t n = std::min(kPanel, panels.out - panel * kPanel);
  const std::int64_t stride = 2 * panels.n_pairs;
  floats.resize(static_cast<std::size_t>(n * panels.in));
  rows(panel * kPanel, n, floats.data());
  bits.assign(static_cast<std::size_t>(kPanel * stride), 0);
  for (std::int64_t r = 0; r < n; ++r) {
    from_float(floats.data() + r * panels.in, bits.data() + r * stride, DType::bf16, panels.in);
  }
  return bits;
}

/// Chooses the exponents that get codes. Whether those of enough weights are among them.
bool choose_exponents(TwelveBitPanels& panels, const WeightRows& rows) {
  std::array<std::int64_t, 256> counts = {};
  const std::int64_t n_sampled = std::min(panels.out, kSampledRows);
  std::vector<float> floats(static_cast<std::size_t>(panels.in));
  std::vector<bf16> row(floats.size());
  for (std::int64_t i = 0; i < n_sampled; ++i) {
    rows(i * panels.out / n_sampled, 1, floats.data());
    from_float(floats.data(), row.data(), DType::bf16, panels.in);
    for (const bf16 weight : row) ++counts[exponent(weight.bits)];
  }
  std::int64_t all = 0;
  for (std::size_t e = 1; e < counts.size(); ++e) all += counts[e];
  std::int64_t most = -1;
  for (int first = 0; first + kCodes < static_cast<int>(counts.size()); ++first) {
    std::int64_t within = 0;
    for (int code = 1; code < kCodes; ++code) within += counts[first + code];
    if (within <= most) continue;
    most = within;
    panels.first_exponent = first;
  }
  return (all - most) * TwelveBitWeights::kStrayShare <= all;
}

std::vector<StrayWeight> strays_of(const std::vector<std::uint16_t>& bits, std::int64_t stride, int first_exponent) {
  std::vector<StrayWeight> strays;
  for (std::int64_t c = 0; c < kPanel; ++c) {
    const std::uint16_t* row = bits.data() + c * stride;
    // Most rows have none, which this loop, of whole vectors, tells soon.
    int n_strays = 0;
    for (std::int64_t k = 0; k < stride; ++k) n_strays += static_cast<int>(is_stray(row[k], first_exponent));
    for (std::int64_t k = 0; n_strays > 0; ++k) {
      if (!is_stray(row[k], first_exponent)) continue;
      strays.push_back({static_cast<std::int32_t>(k), static_cast<std::uint16_t>(c), row[k]});
      --n_strays;
    }
  }
  return strays;
}

}  // namespace

const TwelveBitKernels& plain_twelve_bit_kernels() {
  static constexpr TwelveBitKernels kernels{pack_plain, multiply_plain, decode_plain};
  return kernels;
}

const TwelveBitKernels& twelve_bit_kernels() {
  return TwelveBitWeights::fast() ? *avx512bf16_twelve_bit_kernels() : plain_twelve_bit_kernels();
}

bool TwelveBitWeights::fast() { return has_fast_bfloat16() && avx512bf16_twelve_bit_kernels() != nullptr; }

std::optional<TwelveBitWeights> TwelveBitWeights::pack(std::int64_t out, std::int64_t in, const WeightRows& rows,
                                                       PageArena& arena) {
  const std::int64_t n_panels = (out + kPanel - 1) / kPanel;
  TwelveBitWeights weights;
  TwelveBitPanels& panels = weights.panels_;
  panels = {nullptr, out, in, (in + 1) / 2, 0};
  if (!choose_exponents(panels, rows)) return {};
  const std::int64_t panel_bytes = panels.n_pairs * kTwelveBitBytes;
  weights.bytes_ = static_cast<std::size_t>(n_panels * panel_bytes);
  weights.memory_ = arena.take(weights.bytes_);
  panels.data = weights.memory_.get();
  std::vector<std::vector<StrayWeight>> strays(static_cast<std::size_t>(n_panels));
  parallel_for(n_panels, [&](std::int64_t p) {
    const std::vector<std::uint16_t>& bits = panel_rows(panels, rows, p);
    const std::int64_t stride = 2 * panels.n_pairs;
    strays[p] = strays_of(bits, stride, panels.first_exponent);
    twelve_bit_kernels().pack(bits.data(), stride, panels, weights.memory_.get() + p * panel_bytes);
  });
  for (const auto& some : strays) weights.bytes_ += some.size() * sizeof(StrayWeight);
  weights.strays_ = std::make_shared<const std::vector<std::vector<StrayWeight>>>(std::move(strays));
  return weights;
}

void TwelveBitWeights::multiply(const Activations& x, std::span<const float> bias, Activation activation,
                                bool accumulate, const Activations& y) const {
  const TwelveBitKernels& kernels = twelve_bit_kernels();
  for_columns(panels_.out, {kPanelVectors, kPanelVectors, static_cast<std::int64_t>(bytes_)}, bias, activation,
              accumulate, y, [&](std::int64_t row, std::int64_t n_rows, std::int64_t first, std::int64_t, float* sums) {
                static_assert(kSumStride >= kPanel);
                const std::int64_t panel = first / kPanelVectors;
                const std::uint16_t* inputs = x.as<std::uint16_t>() + row * panels_.in;
                kernels.multiply(panels_, inputs, n_rows, panel, sums, kSumStride);
                for (const StrayWeight& it : strays(panel)) {
                  for (std::int64_t r = 0; r < n_rows; ++r) {
                    sums[r * kSumStride + it.column] += value(inputs[r * panels_.in + it.input]) * value(it.bits);
                  }
                }
              });
}

void TwelveBitWeights::decode(std::int64_t first, std::int64_t n, const DecodedPanels& to) const {
  const std::int64_t n_panels = (n + kPanelVectors - 1) / kPanelVectors;
  const std::int64_t filled = 2 * panels_.n_pairs;
  parallel_for(n_panels, [&](std::int64_t i) {
    const std::int64_t panel = first / kPanelVectors + i;
    const std::int64_t n_vectors = std::min(kPanelVectors, n - i * kPanelVectors);
    const std::int64_t column = i * kPanel;  // of `to`
    auto* const out = static_cast<std::uint16_t*>(to.data);
    std::array<std::uint16_t*, kPanelVectors> vectors = {};
    thread_local std::vector<std::uint16_t> pairs;
    if (to.pair == 2) {
      for (std::int64_t v = 0; v < n_vectors; ++v) {
        vectors[v] = out + to.at(column + v * kColumns, 0);
      }
      twelve_bit_kernels().decode(panels_, panel, n_vectors, vectors.data(), 2 * to.width);
    } else {
      pairs.resize(static_cast<std::size_t>(filled * kPanel));
      for (std::int64_t v = 0; v < n_vectors; ++v) {
        vectors[v] = pairs.data() + v * kColumns * 2;
      }
      twelve_bit_kernels().decode(panels_, panel, n_vectors, vectors.data(), 2 * kPanel);
      for (std::int64_t k = 0; k < std::min(filled, to.in); ++k) {
        for (std::int64_t c = 0; c < n_vectors * kColumns; ++c) {
          out[to.at(column + c, k)] = pairs[k / 2 * 2 * kPanel + 2 * c + k % 2];
        }
      }
    }
    for (std::int64_t k = filled; k < to.in; ++k) {
      for (std::int64_t c = 0; c < n_vectors * kColumns; ++c) out[to.at(column + c, k)] = 0;
    }
    for (const StrayWeight& it : strays(panel)) {
      if (it.column < n_vectors * kColumns) out[to.at(column + it.column, it.input)] = it.bits;
    }
  });
}

std::span<const std::byte> TwelveBitWeights::memory(std::int64_t first, std::int64_t n) const {
  const std::int64_t panel_bytes = panels_.n_pairs * kTwelveBitBytes;
  const std::int64_t n_panels = (n + kPanelVectors - 1) / kPanelVectors;
  return {memory_.get() + first / kPanelVectors * panel_bytes, static_cast<std::size_t>(n_panels * panel_bytes)};
}

}  // namespace kvpress
