// What every kernel test needs: made-up inputs, errors against an oracle, finite differences, and
// the demand that results do not depend on the number of threads.
#pragma once
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/common/philox.h"

namespace mome::testing {

/// `count` standard normals times `scale`, a function of `stream` alone. Every value is exact in
/// float, so that float kernels and double oracles start from the same numbers.
template <class T>
std::vector<T> normal_vector(int64_t count, uint64_t stream, double scale = 1) {
  RandomStream random(2024, 0, Purpose::kTest, stream);
  std::vector<T> out(count);
  for (T& value : out) value = T(float(scale * random.normal()));
  return out;
}

/// `count` integers of [0, below).
inline std::vector<int32_t> integer_vector(int64_t count, uint32_t below, uint64_t stream) {
  RandomStream random(2024, 1, Purpose::kTest, stream);
  std::vector<int32_t> out(count);
  for (int32_t& value : out) value = int32_t(random.below(below));
  return out;
}

template <class To, class From>
std::vector<To> cast(const std::vector<From>& values) {
  return std::vector<To>(values.begin(), values.end());
}

/// Distance of a result from its oracle: max_abs = max |a - b|, rel = max_abs / max |b| (0 if both
/// are 0). A NaN or Inf that the oracle does not have, or the reverse, gives inf.
struct Error {
  double max_abs = 0;
  double rel = 0;
};

template <class A, class B>
Error error_of(const std::vector<A>& result, const std::vector<B>& oracle) {
  if (result.size() != oracle.size()) return {INFINITY, INFINITY};
  Error error;
  double largest = 0;
  for (size_t i = 0; i < result.size(); ++i) {
    const double a = double(result[i]), b = double(oracle[i]);
    if (a == b || (std::isnan(a) && std::isnan(b))) {
      if (std::isfinite(b)) largest = std::max(largest, std::fabs(b));
      continue;
    }
    if (!std::isfinite(a) || !std::isfinite(b)) return {INFINITY, INFINITY};
    error.max_abs = std::max(error.max_abs, std::fabs(a - b));
    largest = std::max(largest, std::fabs(b));
  }
  error.rel = error.max_abs == 0 ? 0 : error.max_abs / largest;
  return error;
}

/// Whether a double result equals its oracle but for rounding: max_abs <= tolerance * max |oracle|.
template <class A, class B>
::testing::AssertionResult close_to(const std::vector<A>& result, const std::vector<B>& oracle,
                                    double tolerance) {
  const Error error = error_of(result, oracle);
  if (error.rel <= tolerance) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "max_abs " << error.max_abs << ", rel " << error.rel << " > " << tolerance;
}

/// The project's rule for reduced precision: the error of the op is at most twice the error of a
/// straightforward implementation in the same precision, both against a double oracle, plus one
/// rounding of the largest element.
template <class T>
::testing::AssertionResult within_twice(const std::vector<T>& op, const std::vector<T>& plain,
                                        const std::vector<double>& oracle) {
  double largest = 0;
  for (double value : oracle) largest = std::max(largest, std::fabs(value));
  const double ulp = double(std::numeric_limits<T>::epsilon()) * largest;
  const Error e = error_of(op, oracle), p = error_of(plain, oracle);
  if (e.max_abs <= 2 * p.max_abs + ulp) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "error " << e.max_abs << " against " << p.max_abs << " of the plain form, ulp " << ulp;
}

/// Compares `gradient` with central differences of f at x, element by element; f is a function of
/// std::vector<double> (a scalar loss). The step is 1e-3 max(1, |x_i|) with Richardson's
/// extrapolation of two steps (error O(h^4)); the tolerance is relative to the largest gradient
/// element or to 1, whichever is greater. Large x is sampled: at most `probes` elements, spread
/// evenly.
template <class F>
::testing::AssertionResult gradient_matches(F&& f, std::vector<double> x,
                                            const std::vector<double>& gradient,
                                            double tolerance = 1e-6, size_t probes = 200) {
  if (gradient.size() != x.size())
    return ::testing::AssertionFailure() << gradient.size() << " gradients for " << x.size();
  double largest = 1;
  for (double g : gradient) largest = std::max(largest, std::fabs(g));
  const size_t stride = std::max<size_t>(1, x.size() / probes);
  for (size_t i = 0; i < x.size(); i += stride) {
    const double at = x[i];
    const double h = 1e-3 * std::max(1.0, std::fabs(at));
    const auto slope = [&](double step) {
      x[i] = at + step;
      const double up = f(x);
      x[i] = at - step;
      const double down = f(x);
      x[i] = at;
      return (up - down) / (2 * step);
    };
    const double numeric = (4 * slope(h / 2) - slope(h)) / 3;
    if (!(std::fabs(numeric - gradient[i]) <= tolerance * largest))
      return ::testing::AssertionFailure() << "element " << i << ": gradient " << gradient[i]
                                           << ", finite difference " << numeric;
  }
  return ::testing::AssertionSuccess();
}

/// sum_i a[i] * weights[i]: turns an op's output into a scalar loss whose gradient with respect to
/// that output is `weights`.
template <class T>
double weighted_sum(const std::vector<T>& a, const std::vector<double>& weights) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double(a[i]) * weights[i];
  return sum;
}

/// Runs `f`, which returns a std::vector of numbers, under 1, 2 and 3 OpenMP threads and demands
/// the same bits.
template <class F>
::testing::AssertionResult same_for_any_threads(F&& f) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto one = f();
  int differs = 0;
  for (int threads : {2, 3}) {
    omp_set_num_threads(threads);
    const auto many = f();
    if (many.size() != one.size() ||
        (!one.empty() && std::memcmp(one.data(), many.data(), one.size() * sizeof(one[0])) != 0))
      differs = threads;
  }
  omp_set_num_threads(before);
  if (!differs) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "1 and " << differs << " threads give different bits";
}

/// Concatenates outputs for same_for_any_threads.
template <class T, class... Rest>
std::vector<T> joined(std::vector<T> first, const Rest&... rest) {
  (first.insert(first.end(), rest.begin(), rest.end()), ...);
  return first;
}

}  // namespace mome::testing
