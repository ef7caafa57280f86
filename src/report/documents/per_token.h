// Losses and divergences of every scored token, as a file: for tests and pictures of one's own.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "kvpress/eval/experiment.h"

namespace kvpress {

/// What is kept of runs, without their hidden states.
class PerToken {
 public:
  /// The run of the full cache, on these texts.
  PerToken(const std::vector<TokenizedText>& texts, const RunResult& full);
  /// A run on the same tokens, compared with the full cache.
  void add(const Outcome& outcome);

  /// The arrays by their names, for numpy.load(): texts (names), runs (names); for each token text (index into texts),
  /// position (in the text), token_id, nll_full; and nll and kl, [runs, tokens]. In nats.
  std::string npz() const;
  /// A row for each token: text (name), position, token_id, nll_full; for each run "nll <run>", "kl <run>".
  std::string csv() const;
  /// One of them, by the extension. Throws as write_file().
  void write(const std::filesystem::path& path) const;

 private:
  std::vector<std::string> texts_;
  std::vector<TokenPlace> places_;
  std::vector<std::int32_t> tokens_;
  std::vector<float> full_;
  std::vector<std::string> runs_;  // "knorm 0.50"
  std::vector<float> nll_, kl_;    // of one run after the other
};

/// Refuses, before long work, a file that could not be written: UsageError for an extension that is neither .npz nor
/// .csv, naming `setting`.
void check_per_token_file(const std::filesystem::path& path, const std::string& setting);

}  // namespace kvpress
