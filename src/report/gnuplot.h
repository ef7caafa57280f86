// Pictures by gnuplot, called as a program (Debian: gnuplot-nox).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace kvpress {

/// Size in pixels of a PNG; of an SVG in the same units.
struct PictureSize {
  int width = 1200;
  int height = 800;
};

/// Runs the script and writes its picture, whole or not at all. The format is that of the name, .png or .svg; the
/// script does not set terminal or output. Throws UsageError for another name, Error when gnuplot is missing (with the
/// command that installs it), complains, or writes no picture, and when the file cannot be written.
void write_picture(const std::string& script, const PictureSize& size, const std::filesystem::path& path);

/// Throws the Error that write_picture() would when gnuplot is missing or the name has another ending.
void check_can_draw(const std::filesystem::path& path);

/// Text from outside as a string of a script: quoted, on one line, nothing in it expanded.
std::string gnuplot_text(std::string_view text);

/// Line and mark of a style, as "plot" wants them: "lc rgb '#0072B2' dt 1 pt 7".
struct PressStyle;
std::string gnuplot_style(const PressStyle& style);

}  // namespace kvpress
