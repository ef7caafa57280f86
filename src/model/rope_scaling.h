// How YaRN (https://arxiv.org/abs/2309.00071) scales rotary frequencies, whichever kind of file describes it.
#pragma once

#include <cstdint>
#include <vector>

namespace kvpress {

/// Between which frequencies YaRN goes over from those that stay to those that are divided. Counted in frequencies, and
/// not whole ones where they are not rounded.
struct YarnRange {
  double first = 0, last = 0;
};

/// A frequency stays where it turns `beta_fast` times and more within the original context, and is divided where it
/// turns `beta_slow` times and less. `truncate` rounds both to whole frequencies.
YarnRange yarn_range(std::int64_t rotary_dim, double base, double original_context, double beta_fast, double beta_slow,
                     bool truncate);

/// Divides frequencies by `factor`: none up to `first`, all from `first + width` on, and a growing share between.
/// `mix`: of how much of a frequency that stays nothing is divided; 1 in the paper.
void scale_by_yarn(std::vector<float>& inverse_frequencies, double factor, double first, double width, double mix = 1);

/// YaRN's factor of queries and keys, for a context `factor` times as long.
double yarn_attention_factor(double factor, double scale = 1);

}  // namespace kvpress
