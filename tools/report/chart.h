// Line charts as inline SVG, for pages that load nothing from elsewhere.
#pragma once
#include <string>
#include <vector>

namespace mome {

struct Curve {
  std::string name;       // the chart's title: "loss"
  std::vector<double> x;  // ascending, as many as y
  std::vector<double> y;  // finite
};

/// An SVG element of one curve over steps: values as a faint line and their running mean over a
/// fortieth of the curve as a strong one, so that a noisy loss can be read. The curve has at least
/// two points. Colours come from the page's CSS (classes grid, raw, mean), for light and dark.
std::string svg_chart(const Curve& curve);

/// Text for HTML content and quoted attributes.
std::string escape_html(const std::string& text);

}  // namespace mome
