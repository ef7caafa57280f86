// CurDKV (https://arxiv.org/abs/2509.15038): tokens are kept as a CUR decomposition keeps rows, by leverage scores of
// keys and values, here approximated by squared norms (after a random projection, if wanted) relative to their
// neighbours.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "kvpress/ops/product/linear.h"
#include "kvpress/press/kit/key_rows.h"
#include "kvpress/press/parameters.h"
#include "press/entries.h"
#include "press/kit/normals.h"

namespace kvpress {
namespace {

constexpr std::int64_t kProjected = 20;  // channels of the random projection
constexpr std::array<std::string_view, 4> kTypes = {"key", "value", "kv_avg", "kv_product"};

class Cur : public Scorer<Cur> {
 public:
  void visit_parameters(ParameterVisitor& visitor) override {
    visitor.integer("num_sinks", num_sinks_, 0, "first tokens that are always kept");
    visitor.choice("leverage_type", leverage_type_, kTypes, "which norms are used, and how they are combined");
    visitor.flag("use_random_leverage", use_random_leverage_, "first project to 20 random channels");
    visitor.flag("use_local_approximation", use_local_approximation_, "norms relative to their window");
    visitor.integer("local_window_size", local_window_size_, 1, "tokens of a window");
  }

  void score(const LayerView& layer, Scores& scores) override {
    const AlignedVector<float> projection = make_projection(layer);
    if (leverage_type_ == "value") {
      fill(layer, Rows::values, projection, scores);
    } else {
      fill(layer, Rows::keys, projection, scores);
    }
    if (leverage_type_ == "kv_avg" || leverage_type_ == "kv_product") {
      Scores of_values = scores;
      fill(layer, Rows::values, projection, of_values);
      const bool product = leverage_type_ == "kv_product";
      for (std::size_t h = 0; h < scores.size(); ++h) {
        for (std::size_t j = 0; j < scores[h].size(); ++j) {
          const float value = of_values[h][j];
          scores[h][j] = product ? scores[h][j] * value : (scores[h][j] + value) / 2;
        }
      }
    }
    for (std::int64_t h = 0; h < layer.n_kv_heads(); ++h) {
      auto& row = scores[h];
      normalize(row.data(), static_cast<std::int64_t>(row.size()));
      std::fill_n(row.begin(), n_before(layer.head(h), num_sinks_), 1.0f);  // the others are at most 1
    }
  }

 private:
  /// [head_dim, kProjected], the same for keys and values of all heads of a layer; empty when not wanted.
  AlignedVector<float> make_projection(const LayerView& layer) const {
    AlignedVector<float> projection;
    if (!use_random_leverage_) return projection;
    projection.resize(static_cast<std::size_t>(layer.block.config.head_dim * kProjected));
    fill_standard_normals(layer_seed(layer), projection);
    for (float& value : projection) value /= std::sqrt(static_cast<float>(kProjected));
    return projection;
  }

  /// Squared norms, as shares of their window's.
  void fill(const LayerView& layer, Rows which, const AlignedVector<float>& projection, Scores& out) const {
    const std::int64_t d = layer.block.config.head_dim;
    for_each_stretch(layer, which, [&](std::int64_t h, std::int64_t first, std::int64_t n, const float* rows) {
      AlignedVector<float> projected;
      std::int64_t cols = d;
      if (!projection.empty()) {
        cols = kProjected;
        projected.resize(static_cast<std::size_t>(n * cols));
        gemm(false, false, n, cols, d, 1.0f, rows, d, projection.data(), cols, 0.0f, projected.data(), cols);
        rows = projected.data();
      }
      float* norms = out[h].data() + first;
      for (std::int64_t j = 0; j < n; ++j) {
        const std::span<const float> row(rows + j * cols, static_cast<std::size_t>(cols));
        norms[j] = dot(row, row);
      }
    });
    if (!use_local_approximation_) return;
    for (auto& row : out) {
      const auto n = static_cast<std::int64_t>(row.size());
      for (std::int64_t first = 0; first < n; first += local_window_size_) {
        normalize(row.data() + first, std::min(local_window_size_, n - first));
      }
    }
  }

  /// Makes n values sum to 1; zeros stay zeros.
  static void normalize(float* values, std::int64_t n) {
    double sum = 0;
    for (std::int64_t j = 0; j < n; ++j) sum += values[j];
    if (sum <= 0) return;
    for (std::int64_t j = 0; j < n; ++j) values[j] = static_cast<float>(values[j] / sum);
  }

  std::int64_t num_sinks_ = 4;
  std::string leverage_type_ = "kv_product";
  bool use_random_leverage_ = false;
  bool use_local_approximation_ = true;
  std::int64_t local_window_size_ = 16;
};

}  // namespace

const PressEntry kCurPress = {
    "cur",
    "keeps the tokens whose keys and values have large norms within their window",
    "https://arxiv.org/abs/2509.15038",
    "keys, values",
    make_press<Cur>,
    "A CUR decomposition keeps the rows of a matrix with the largest leverage scores. The scores of keys and values "
    "are approximated by squared norms relative to their window, so that every part of the text keeps some tokens.",
    "k_j = ‖k_j‖² / sum over the window of local_window_size, v_j likewise; s_j = k_j·v_j; the first num_sinks are "
    "kept",
    "When values should count as well as keys, at almost no cost."};

}  // namespace kvpress
