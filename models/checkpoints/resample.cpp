#include "models/checkpoints/resample.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "runtime/core/error.h"

namespace mome {
namespace {

/// Solves a x = b for `columns` right sides at once, in place: a [n, n], b [n, columns].
void solve(std::vector<double>& a, std::vector<double>& b, size_t n, size_t columns) {
  for (size_t k = 0; k < n; ++k) {
    size_t pivot = k;
    for (size_t i = k + 1; i < n; ++i)
      if (std::abs(a[i * n + k]) > std::abs(a[pivot * n + k])) pivot = i;
    std::swap_ranges(a.begin() + ptrdiff_t(k * n), a.begin() + ptrdiff_t((k + 1) * n),
                     a.begin() + ptrdiff_t(pivot * n));
    if (pivot != k)
      std::swap_ranges(b.begin() + ptrdiff_t(k * columns), b.begin() + ptrdiff_t((k + 1) * columns),
                       b.begin() + ptrdiff_t(pivot * columns));
    for (size_t i = 0; i < n; ++i) {
      const double factor = a[i * n + k] / a[k * n + k];
      if (i == k || factor == 0) continue;
      for (size_t j = k; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
      for (size_t j = 0; j < columns; ++j) b[i * columns + j] -= factor * b[k * columns + j];
    }
  }
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < columns; ++j) b[i * columns + j] /= a[i * n + i];
}

/// Second derivatives at the points of the spline through each unit vector: [n, n]. Interior rows
/// say that the first derivative is continuous, the first and the last that the third one is at the
/// second and the last but one point ("not a knot").
std::vector<double> spline_curvatures(const std::vector<double>& x) {
  const size_t n = x.size();
  std::vector<double> a(n * n, 0), b(n * n, 0);
  for (size_t i = 1; i + 1 < n; ++i) {
    const double before = x[i] - x[i - 1], after = x[i + 1] - x[i];
    a[i * n + i - 1] = before;
    a[i * n + i] = 2 * (before + after);
    a[i * n + i + 1] = after;
    b[i * n + i - 1] = 6 / before;
    b[i * n + i] = -6 / before - 6 / after;
    b[i * n + i + 1] = 6 / after;
  }
  for (const size_t row : {size_t{0}, n - 1}) {
    const size_t first = row == 0 ? 0 : n - 3;
    const double before = x[first + 1] - x[first], after = x[first + 2] - x[first + 1];
    a[row * n + first] = -after;
    a[row * n + first + 1] = before + after;
    a[row * n + first + 2] = -before;
  }
  solve(a, b, n, n);
  return b;
}

/// The spline's values at the targets as weights of the values at x (ascending, at least 4).
ResampleWeights spline_weights(const std::vector<double>& x, const std::vector<double>& targets) {
  const size_t n = x.size();
  const std::vector<double> curvature = spline_curvatures(x);
  ResampleWeights w{int64_t(n), int64_t(targets.size()),
                    std::vector<double>(n * targets.size(), 0)};
  for (size_t t = 0; t < targets.size(); ++t) {
    const double at = std::clamp(targets[t], x.front(), x.back());
    const auto above = std::upper_bound(x.begin() + 1, x.end() - 1, at);
    const auto i = size_t(above - x.begin()) - 1;
    const double h = x[i + 1] - x[i], right = (at - x[i]) / h, left = (x[i + 1] - at) / h;
    double* row = &w.weights[t * n];
    row[i] += left;
    row[i + 1] += right;
    const double c0 = (left * left * left - left) * h * h / 6;
    const double c1 = (right * right * right - right) * h * h / 6;
    for (size_t j = 0; j < n; ++j)
      row[j] += c0 * curvature[i * n + j] + c1 * curvature[(i + 1) * n + j];
  }
  return w;
}

/// Keys (1981), "Cubic convolution interpolation for digital image processing".
double keys_kernel(double distance) {
  constexpr double a = -0.75;
  const double d = std::abs(distance);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

}  // namespace

double geometric_ratio(int64_t source, int64_t target) {
  double left = 1.01, right = 1.5, q = left;
  while (right - left > 1e-6) {
    q = (left + right) / 2;
    const double reach = (1 - std::pow(q, double(source / 2))) / (1 - q);
    (reach > double(target / 2) ? right : left) = q;
  }
  return q;
}

ResampleWeights geometric_weights(int64_t source, int64_t target) {
  MOME_CHECK(source >= 5 && source % 2 == 1 && target >= 1 && target % 2 == 1);
  const double q = geometric_ratio(source, target);
  std::vector<double> x(static_cast<size_t>(source), 0), targets;
  const int64_t half = source / 2;
  double reach = 0;
  for (int64_t i = 1; i <= half; ++i) {
    reach += std::pow(q, double(i - 1));
    x[size_t(half + i)] = reach;
    x[size_t(half - i)] = -reach;
  }
  for (int64_t offset = -(target / 2); offset <= target / 2; ++offset)
    targets.push_back(double(offset));
  return spline_weights(x, targets);
}

ResampleWeights bicubic_weights(int64_t source, int64_t target) {
  ResampleWeights w{source, target, std::vector<double>(size_t(source * target), 0)};
  const double scale = double(source) / double(target);
  for (int64_t t = 0; t < target; ++t) {
    const double at = (double(t) + 0.5) * scale - 0.5;
    const auto below = int64_t(std::floor(at));
    for (int64_t i = below - 1; i <= below + 2; ++i)
      w.weights[size_t(t * source + std::clamp<int64_t>(i, 0, source - 1))] +=
          keys_kernel(at - double(i));
  }
  return w;
}

std::vector<double> resample_square(const ResampleWeights& w, const std::vector<double>& grid,
                                    int64_t columns) {
  const auto s = size_t(w.source), t = size_t(w.target), c = size_t(columns);
  MOME_CHECK(grid.size() == s * s * c);
  std::vector<double> rows(t * s * c, 0), result(t * t * c, 0);
  for (size_t y = 0; y < t; ++y)  // [source, source, C] -> [target, source, C]
    for (size_t k = 0; k < s; ++k)
      for (size_t j = 0; j < s * c; ++j)
        rows[y * s * c + j] += w.weights[y * s + k] * grid[k * s * c + j];
  for (size_t y = 0; y < t; ++y)  // -> [target, target, C]
    for (size_t x = 0; x < t; ++x)
      for (size_t k = 0; k < s; ++k)
        for (size_t j = 0; j < c; ++j)
          result[(y * t + x) * c + j] += w.weights[x * s + k] * rows[(y * s + k) * c + j];
  return result;
}

}  // namespace mome
