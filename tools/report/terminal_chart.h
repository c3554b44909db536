// Charts of text: braille dots (two columns and four rows a character) and bars of eighths.
#pragma once
#include <string>
#include <vector>

#include "tools/report/chart.h"

namespace mome {

/// Lines of text, at most `width` columns each: `height` rows of a chart with the value's range at
/// the left, and one with the steps below. Every column of dots shows the range of the curve's
/// values in it. The curve has at least one point.
std::vector<std::string> braille_chart(const Curve& curve, int width, int height);

/// One line of at most `width` bars, each the mean of its part of the curve, from the smallest
/// value to the largest.
std::string sparkline(const Curve& curve, int width);

/// Columns that a text takes: its characters, bytes that continue one not counted.
int columns_of(const std::string& text);

}  // namespace mome
