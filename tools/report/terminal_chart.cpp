#include "tools/report/terminal_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "runtime/core/error.h"

namespace mome {
namespace {

// A Unicode character as UTF-8; those used here have three bytes.
std::string utf8(uint32_t c) {
  return {char(0xe0 | (c >> 12)), char(0x80 | ((c >> 6) & 0x3f)), char(0x80 | (c & 0x3f))};
}

struct Span {
  double low = 0, high = 0, sum = 0;
  int count = 0;
};

// Values of the curve in `columns` equal parts of its steps.
std::vector<Span> spans_of(const Curve& curve, int columns) {
  std::vector<Span> spans(static_cast<size_t>(columns));
  const double first = curve.x.front(), last = curve.x.back();
  for (size_t i = 0; i < curve.x.size(); ++i) {
    const double at = last > first ? (curve.x[i] - first) / (last - first) * columns : 0;
    Span& s = spans[size_t(std::clamp(int(at), 0, columns - 1))];
    const double y = curve.y[i];
    s.low = s.count ? std::min(s.low, y) : y;
    s.high = s.count ? std::max(s.high, y) : y;
    s.sum += y;
    ++s.count;
  }
  return spans;
}

}  // namespace

int columns_of(const std::string& text) {
  return int(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::vector<std::string> braille_chart(const Curve& curve, int width, int height) {
  MOME_CHECK(!curve.x.empty() && curve.x.size() == curve.y.size() && height >= 1);
  const auto [low_at, high_at] = std::minmax_element(curve.y.begin(), curve.y.end());
  const double low = *low_at, high = *high_at;
  const std::string top = fmt::format("{:.4g}", high), bottom = fmt::format("{:.4g}", low);
  const int label = int(std::max(top.size(), bottom.size())),
            cells = std::max(1, width - label - 2);
  const int columns = 2 * cells, rows = 4 * height;
  // Dots of a character, column by column, top down (Unicode chapter 21, "Braille Patterns").
  constexpr uint8_t kDots[2][4] = {{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}};
  std::vector<uint8_t> cell(size_t(cells * height));
  const auto row_of = [&](double y) {
    const double share = high > low ? (high - y) / (high - low) : 0.5;
    return std::clamp(int(std::lround(share * (rows - 1))), 0, rows - 1);
  };
  const std::vector<Span> spans = spans_of(curve, columns);
  int before = -1, before_row = 0;  // the last column with values, where its mean lies
  for (int x = 0; x < columns; ++x) {
    const Span& s = spans[size_t(x)];
    if (s.count == 0) continue;
    const auto dot = [&](int column, int y) {
      cell[size_t(y / 4 * cells + column / 2)] |= kDots[column % 2][y % 4];
    };
    for (int y = row_of(s.high); y <= row_of(s.low); ++y) dot(x, y);
    const int mean = row_of(s.sum / s.count);
    for (int between = before + 1; before >= 0 && between < x;
         ++between)  // joined where there are few points
      dot(between, int(std::lround(before_row +
                                   double(mean - before_row) * (between - before) / (x - before))));
    before = x, before_row = mean;
  }
  std::vector<std::string> lines;
  for (int r = 0; r < height; ++r) {
    std::string line = fmt::format("{:>{}} {}",
                                   r == 0            ? top
                                   : r == height - 1 ? bottom
                                                     : "",
                                   label, utf8(r == 0 || r == height - 1 ? 0x2524 : 0x2502));
    for (int c = 0; c < cells; ++c) line += utf8(0x2800 + cell[size_t(r * cells + c)]);
    lines.push_back(line);
  }
  const std::string from = fmt::format("{:.10g}", curve.x.front()),
                    to = fmt::format("{:.10g}", curve.x.back());
  const int gap = cells - int(from.size()) - int(to.size());
  lines.push_back(std::string(size_t(label + 2), ' ') + from +
                  (gap > 0 && to != from ? std::string(size_t(gap), ' ') + to : ""));
  return lines;
}

std::string sparkline(const Curve& curve, int width) {
  MOME_CHECK(!curve.x.empty() && width >= 1);
  const std::vector<Span> spans =
      spans_of(curve, int(std::min<size_t>(size_t(width), curve.x.size())));
  std::vector<double> means;
  for (const Span& s : spans) means.push_back(s.count ? s.sum / s.count : means.back());
  const auto [low_at, high_at] = std::minmax_element(means.begin(), means.end());
  const double low = *low_at, high = *high_at;
  std::string line;
  for (const double mean : means)
    line += utf8(0x2581 + uint32_t(high > low ? std::lround((mean - low) / (high - low) * 7) : 3));
  return line;
}

}  // namespace mome
