// Styles of presses: the same colour, dash and mark in every picture and in the HTML report.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace kvpress {

enum class Mark : std::uint8_t {
  circle,
  square,
  triangle,
  diamond,
  triangle_down,
  open_circle,
  open_square,
  open_triangle,
  open_diamond,
  open_triangle_down,
  plus,
  cross
};

enum class Dash : std::uint8_t { solid, dashed, dotted, dash_dot, long_dashed };

/// "#0072B2": on a white page and on a dark one. Pictures of gnuplot are white.
struct Color {
  std::string_view light;
  std::string_view dark;
  bool operator==(const Color&) const = default;
};

struct LineStyle {
  Color color;
  Mark mark = Mark::circle;
  Dash dash = Dash::solid;
  bool operator==(const LineStyle&) const = default;
};

/// Two presses in a picture differ in colour, mark or dash.
using PressStyle = LineStyle;

/// A style for each name. Colour and dash of a press without parameters depend only on its name. Styles of compositions
/// and of presses with parameters come from a hash of the text; if two in a picture are equal, the alphabetically later
/// one takes the next. Among up to twelve presses (beside no_press and random) no two have the same mark: one whose
/// mark is taken gets the next. Colours are those of Okabe and Ito (suitable for colour-blind readers) and four more;
/// no_press is black, random grey.
std::map<std::string, PressStyle> press_styles(const std::vector<std::string>& names);

/// The name in the script of the page: "circle", "open_square", ...
const char* to_string(Mark mark);

/// Lengths of strokes and gaps by turns, in pixels; empty for a solid line.
std::vector<int> dash_lengths(Dash dash);

}  // namespace kvpress
