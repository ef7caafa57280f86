// Rows in the order of a picture: panels of runs that may be compared with each other, and in each a line a press.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kvpress/report/measures.h"
#include "kvpress/report/run_rows.h"

namespace kvpress {

/// A press's runs in a panel, by ratio. Runs of the same press at the same ratio are one here: medians, and as
/// intervals the widest.
struct Series {
  std::string press;
  std::vector<RunRow> runs;
};

/// Runs of one model on one data set under one protocol, with equal settings.
struct Panel {
  std::string model;
  std::string dataset;
  std::string protocol;
  /// The settings in which panels of the same three differ: "chunk_size 128"; else empty.
  std::string detail;
  std::vector<Series> series;     ///< by name; no_press first
  std::vector<std::size_t> rows;  ///< indices of what it was made of

  /// "pg19_ppl, chunked, demo"
  std::string title() const;
  /// Null without one.
  const RunRow* full_cache() const;
};

std::vector<Panel> panels_of(const std::vector<RunRow>& rows);

/// The names of the presses in them, sorted, each once.
std::vector<std::string> presses_of(const std::vector<RunRow>& rows);

struct Point {
  double x = 0;
  double y = 0;
};

/// For each point whether none is better: no other is at least as low in both and lower in one. In O(n log n).
std::vector<bool> pareto_front(std::span<const Point> points);

}  // namespace kvpress
