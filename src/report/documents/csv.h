// Reading and writing CSV (RFC 4180), including quoted fields with commas, quotes and line ends.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

/// Reads the record at `at` into `fields` and moves `at` behind it; returns false at the end of the text.
bool next_csv_record(std::string_view text, std::size_t& at, std::vector<std::string>& fields);

/// A field for a CSV file: quoted if it contains a comma, a quote or a line end. A text that spreadsheets would take
/// for a formula (it begins with =, +, -, @, a tab or a line end, and is no number) gets an apostrophe before it.
std::string csv_cell(const std::string& value);

/// The mean of the numbers in a column; empty if there is no such column or no number in it.
std::optional<double> csv_column_mean(std::string_view text, std::string_view column);

}  // namespace kvpress
