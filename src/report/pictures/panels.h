// Groups rows for pictures: panels of comparable runs, with one series per press.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "report/documents/measures.h"
#include "report/documents/run_rows.h"

namespace kvpress {

/// The runs of a press in a panel, by what was evicted. Runs at the same ratio are merged: medians of the numbers, and
/// the union of the intervals.
struct Series {
  std::string press;
  std::vector<RunRow> runs;
};

/// Runs of one model on one data set under one protocol, with equal settings.
struct Panel {
  std::string model;
  std::string dataset;
  std::string protocol;
  /// Settings in which panels with the same three names differ: "chunk_size 128"; else empty.
  std::string detail;
  std::vector<Series> series;     ///< sorted by name, no_press first
  std::vector<std::size_t> rows;  ///< indices of the rows of the panel

  /// "pg19_ppl, chunked, demo"
  std::string title() const;
  /// The run of the full cache; null if there is none. Owned by the panel.
  const RunRow* full_cache() const;
};

/// Groups the rows into panels, sorted by name.
std::vector<Panel> panels_of(const std::vector<RunRow>& rows);

/// The names of the presses in the rows, sorted, without duplicates.
std::vector<std::string> presses_of(const std::vector<RunRow>& rows);

struct Point {
  double x = 0;
  double y = 0;
};

/// For each point, whether it is on the Pareto front: no other point is at most equal on both axes and lower on one.
/// In O(n log n).
std::vector<bool> pareto_front(std::span<const Point> points);

}  // namespace kvpress
