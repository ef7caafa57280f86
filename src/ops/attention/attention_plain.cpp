#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kvpress/ops/attention/attention.h"
#include "ops/attention/attention_rows.h"
#include "ops/rowwise.h"

namespace kvpress {
void attention_plain(const AttentionArgs& args, const Activations& out) {
  const std::int64_t d = args.head_dim;
  const auto group_size = args.n_heads / static_cast<std::int64_t>(args.kv.size());
  std::vector<float> keys, values;
  for (std::int64_t h = 0; h < args.n_heads; ++h) {
    const HeadKV& kv = args.kv[h / group_size];
    keys.resize(static_cast<std::size_t>(kv.n * d));
    values.resize(keys.size());
    keys_to_float(kv, args.kv_type, d, 0, kv.n, keys.data());
    values_to_float(kv, args.kv_type, d, 0, kv.n, values.data());
    for (std::int64_t t = 0; t < args.n_new; ++t) {
      const float* query = args.queries + (t * args.n_heads + h) * d;
      const std::int64_t n = visible(args, kv.n, t);
      const std::int64_t first = first_visible(args, h / group_size, t);
      std::vector<double> weights(static_cast<std::size_t>(n));
      double max = -std::numeric_limits<double>::infinity();
      for (std::int64_t j = first; j < n; ++j) {
        const float* key = keys.data() + j * d;
        double dot = 0;
        for (std::int64_t c = 0; c < d; ++c) dot += static_cast<double>(query[c]) * key[c];
        weights[j] = dot * args.scale;
        if (args.soft_cap > 0) weights[j] = args.soft_cap * std::tanh(weights[j] / args.soft_cap);
        max = std::max(max, weights[j]);
      }
      double sum = 0;
      for (std::int64_t j = 0; j < n; ++j) {
        double& w = weights[j];
        sum += w = j < first ? 0.0 : std::exp(w - max);
      }
      if (args.log_sum_exp != nullptr) args.log_sum_exp[h * args.n_new + t] = static_cast<float>(max + std::log(sum));
      std::vector<double> result(static_cast<std::size_t>(d), 0.0);
      for (std::int64_t j = 0; j < n; ++j) {
        const float* value = values.data() + j * d;
        for (std::size_t c = 0; c < result.size(); ++c) result[c] += weights[j] / sum * value[c];
      }
      std::vector<float> row(result.begin(), result.end());
      const auto at = static_cast<std::size_t>((t * args.n_heads + h) * d) * size_of(out.type);
      from_float(row.data(), static_cast<std::byte*>(out.data) + at, out.type, d);
    }
  }
}

}  // namespace kvpress
