// How a press is drawn: the same colour, dash and mark in every picture and in the HTML report.
#pragma once

#include <cstdint>
#include <map>
#include <string>
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

/// Two presses of a picture differ in at least one of colour, mark and dash.
struct PressStyle {
  std::string color;       ///< "#0072B2", on white
  std::string dark_color;  ///< on a dark page
  Mark mark = Mark::circle;
  Dash dash = Dash::solid;
  bool operator==(const PressStyle&) const = default;
};

/// A style for each name. That of a press without parameters depends on its name alone. Compositions and presses with
/// parameters get theirs from a hash of the text; where two of a picture meet, the later of the alphabet moves on.
/// Colours are those of Okabe and Ito (told apart without red or green), no_press is black, random grey.
std::map<std::string, PressStyle> press_styles(const std::vector<std::string>& names);

/// "circle", "open_square", ...; "solid", ...: what the page's script calls them.
const char* to_string(Mark mark);
const char* to_string(Dash dash);

}  // namespace kvpress
