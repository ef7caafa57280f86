// What a report needs from CSV files: RFC 4180, quoted fields with commas, quotes and line ends in them included.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

/// Reads the record at `at` and moves behind it; false at the end of the text.
bool next_csv_record(std::string_view text, std::size_t& at, std::vector<std::string>& fields);

/// A field as CSV wants it: quoted where it holds a comma, a quote or a line end.
std::string csv_cell(const std::string& text);

/// The mean of a column's numbers; nothing when there is no such column or no number in it.
std::optional<double> csv_column_mean(std::string_view text, std::string_view column);

}  // namespace kvpress
