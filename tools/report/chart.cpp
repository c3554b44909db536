#include "tools/report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr double kWidth = 360, kHeight = 190, kLeft = 52, kRight = 8, kTop = 26, kBottom = 24;
constexpr size_t kPoints = 400;  // more would not show on kWidth pixels

// At most kPoints of them: means over runs of equal length.
Curve thinned(const Curve& curve) {
  const size_t n = curve.x.size(), run = (n + kPoints - 1) / kPoints;
  Curve out{curve.name, {}, {}};
  for (size_t begin = 0; begin < n; begin += run) {
    const size_t end = std::min(n, begin + run);
    double x = 0, y = 0;
    for (size_t i = begin; i < end; ++i) {
      x += curve.x[i];
      y += curve.y[i];
    }
    out.x.push_back(x / (end - begin));
    out.y.push_back(y / (end - begin));
  }
  return out;
}

std::vector<double> running_mean(const std::vector<double>& y) {
  const size_t half = y.size() / 80;
  std::vector<double> out;
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t begin = i - std::min(half, i), end = std::min(y.size(), i + half + 1);
    double sum = 0;
    for (size_t j = begin; j < end; ++j) sum += y[j];
    out.push_back(sum / static_cast<double>(end - begin));
  }
  return out;
}

// Round numbers inside [low, high]: about four of them.
std::vector<double> ticks(double low, double high) {
  const double rough = (high - low) / 4, power = std::pow(10, std::floor(std::log10(rough)));
  const double factor = rough / power;
  const double step = power * (factor < 1.5 ? 1 : factor < 3.5 ? 2 : factor < 7.5 ? 5 : 10);
  std::vector<double> out;
  for (double k = std::ceil(low / step); k * step <= high + 1e-9 * step; ++k)
    out.push_back(k * step);
  return out;
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string svg_chart(const Curve& full) {
  MOME_CHECK(full.x.size() >= 2 && full.x.size() == full.y.size());
  const Curve curve = thinned(full);
  const auto [low_at, high_at] = std::minmax_element(curve.y.begin(), curve.y.end());
  double low = *low_at, high = *high_at;
  if (high - low < 1e-9 * std::max(std::abs(high), 1e-9)) {  // a constant lies in the middle
    const double room = std::max(std::abs(high) * 0.1, 1e-6);
    low -= room;
    high += room;
  }
  const double first = curve.x.front(), last = std::max(curve.x.back(), first + 1e-9);
  const auto px = [&](double x) {
    return kLeft + (x - first) / (last - first) * (kWidth - kLeft - kRight);
  };
  const auto py = [&](double y) {
    return kHeight - kBottom - (y - low) / (high - low) * (kHeight - kTop - kBottom);
  };
  const auto line = [&](const std::vector<double>& y, const char* style) {
    std::string points;
    for (size_t i = 0; i < y.size(); ++i)
      points += fmt::format("{:.1f},{:.1f} ", px(curve.x[i]), py(y[i]));
    return fmt::format("<polyline class=\"{}\" points=\"{}\"/>\n", style, points);
  };

  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{} by step\">\n"
      "<text class=\"title\" x=\"{}\" y=\"15\">{}</text>\n"
      "<text class=\"last\" x=\"{}\" y=\"15\">{:.4g}</text>\n",
      kWidth, kHeight, escape_html(curve.name), kLeft, escape_html(curve.name), kWidth - kRight,
      full.y.back());
  for (const double tick : ticks(low, high))
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
        "<text class=\"y\" x=\"{3}\" y=\"{4:.1f}\">{5:.4g}</text>\n",
        kLeft, kWidth - kRight, py(tick), kLeft - 6, py(tick) + 4, tick + 0.0);
  for (const double tick : ticks(first, last))
    svg += fmt::format("<text class=\"x\" x=\"{:.1f}\" y=\"{}\">{:.6g}</text>\n",
                       std::min(px(tick), kWidth - 16), kHeight - 6, tick);
  const std::vector<double> mean = running_mean(curve.y);
  return svg + line(curve.y, "raw") + line(mean, "mean") + "</svg>\n";
}

}  // namespace mome
