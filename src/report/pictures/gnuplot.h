// Pictures drawn by gnuplot, which is run as a program (Debian: gnuplot-nox).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace kvpress {

/// Size in pixels (PNG) or in the same units (SVG).
struct PictureSize {
  int width = 1200;
  int height = 800;
};

/// A picture to be drawn.
struct Drawing {
  PictureSize size;
  std::string script;
};

/// Runs the script and writes its picture atomically. The extension of `path`, .png or .svg, determines the format; the
/// script must not set terminal or output. Throws UsageError for another extension, and Error if gnuplot is missing
/// (with the command to install it), fails or writes no picture, or if the file cannot be written.
void write_picture(const std::string& script, const PictureSize& size, const std::filesystem::path& path);

/// Throws as write_picture() if gnuplot is missing or the extension is unknown.
void check_can_draw(const std::filesystem::path& path);

/// External text as a string literal of a script: quoted, on one line, without expansion.
std::string gnuplot_text(std::string_view text);

/// Line and mark of a style as options of "plot": "lc rgb '#0072B2' dt 1 pt 7".
struct LineStyle;
std::string gnuplot_style(const LineStyle& style);

}  // namespace kvpress
