// Exact search among features against a plain loop in double, and the promise that what is found
// does not depend on how it is asked for.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/common/half.h"
#include "kernels/common/philox.h"
#include "models/evaluation/nearest.h"

namespace mome {
namespace {

std::vector<float> unit_rows(int64_t n, int64_t dim, uint64_t seed) {
  std::vector<float> out(size_t(n * dim));
  for (int64_t r = 0; r < n; ++r) {
    RandomStream random(seed, 0, Purpose::kTest, uint64_t(r));
    double square = 0;
    float* row = out.data() + r * dim;
    for (int64_t i = 0; i < dim; ++i) row[i] = random.normal(), square += double(row[i]) * row[i];
    for (int64_t i = 0; i < dim; ++i) row[i] = float(row[i] / std::sqrt(square));
  }
  return out;
}

std::vector<FeatureBlock> blocks_of(const std::vector<float>& rows, int64_t dim,
                                    const std::vector<int64_t>& sizes) {
  std::vector<FeatureBlock> blocks;
  const float* at = rows.data();
  for (const int64_t n : sizes) {
    blocks.push_back({at, n, DType::kF32});
    at += n * dim;
  }
  EXPECT_EQ(at, rows.data() + rows.size());
  return blocks;
}

// Scores agree with double to the rounding of one float sum; where two scores differ by more than
// that, so do the orders.
void expect_right(const std::vector<Neighbour>& got, const std::vector<float>& rows, int64_t dim,
                  const float* query, int64_t k) {
  const int64_t n = int64_t(rows.size()) / dim;
  std::vector<double> score(static_cast<size_t>(n));
  for (int64_t r = 0; r < n; ++r)
    for (int64_t i = 0; i < dim; ++i)
      score[size_t(r)] += double(rows[size_t(r * dim + i)]) * double(query[i]);
  std::vector<double> sorted = score;
  std::sort(sorted.rbegin(), sorted.rend());
  ASSERT_EQ(int64_t(got.size()), std::min(k, n));
  std::vector<int64_t> seen;
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_NEAR(got[i].score, score[size_t(got[i].row)], 1e-6);
    EXPECT_NEAR(got[i].score, sorted[i], 1e-6) << "a better row was missed";
    seen.push_back(got[i].row);
    if (i == 0) continue;
    EXPECT_TRUE(got[i - 1].score > got[i].score ||
                (got[i - 1].score == got[i].score && got[i - 1].row < got[i].row));
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

void expect_same(const std::vector<Neighbour>& a, const std::vector<Neighbour>& b,
                 const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].row, b[i].row) << what << " " << i;
    EXPECT_EQ(a[i].score, b[i].score) << what << " " << i;
  }
}

TEST(Nearest, FindsWhatALoopFinds) {
  for (const int64_t dim : {1, 16, 37, 256}) {
    const auto rows = unit_rows(2600, dim, 1), queries = unit_rows(21, dim, 2);
    for (const int64_t n : {1, 5, 21}) {
      for (const int64_t k : {1, 10}) {
        const auto got = nearest(blocks_of(rows, dim, {2600}), dim, n, queries.data(), k);
        ASSERT_EQ(int64_t(got.size()), n);
        for (int64_t q = 0; q < n; ++q)
          expect_right(got[size_t(q)], rows, dim, queries.data() + q * dim, k);
      }
    }
  }
}

TEST(Nearest, TheSameHoweverAsked) {
  constexpr int64_t kDim = 80, kRows = 5000, kQueries = 300;
  const auto rows = unit_rows(kRows, kDim, 3), queries = unit_rows(kQueries, kDim, 4);
  const auto whole = blocks_of(rows, kDim, {kRows});
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const auto expected = nearest(whole, kDim, kQueries, queries.data(), 12);
  for (const int threads : {2, 3}) {
    omp_set_num_threads(threads);
    const auto many = nearest(blocks_of(rows, kDim, {1, 1023, 0, 2049, 7, 1920}), kDim, kQueries,
                              queries.data(), 12);
    for (size_t q = 0; q < size_t(kQueries); ++q) expect_same(many[q], expected[q], "blocks");
  }
  omp_set_num_threads(before);
  for (const int64_t n : {1, 3, 8, 9, 100}) {  // dot products and matrix products
    const float* from = queries.data() + 17 * kDim;
    const auto some = nearest(whole, kDim, n, from, 12);
    for (int64_t q = 0; q < n; ++q)
      expect_same(some[size_t(q)], expected[size_t(17 + q)], std::to_string(n) + " queries");
  }
}

// More copies of one row than candidates are kept: which of them are found is decided by their
// numbers alone, though matrix products round them differently.
TEST(Nearest, EqualRowsComeInOrder) {
  constexpr int64_t kDim = 131, kRows = 3000, kQueries = 40;
  auto rows = unit_rows(kRows, kDim, 5);
  const auto queries = unit_rows(kQueries, kDim, 6);
  std::vector<int64_t> copies;
  for (int64_t r = 11; r < kRows; r += 13) {
    std::copy_n(queries.begin(), kDim, rows.begin() + r * kDim);
    copies.push_back(r);
  }
  for (const int64_t n : {int64_t{1}, kQueries}) {
    const auto got = nearest(blocks_of(rows, kDim, {1500, 1500}), kDim, n, queries.data(), 20);
    ASSERT_EQ(got[0].size(), 20u);
    for (size_t i = 0; i < 20; ++i) {
      EXPECT_EQ(got[0][i].row, copies[i]) << n;
      EXPECT_NEAR(got[0][i].score, 1, 1e-6);
    }
    for (int64_t q = 0; q < n; ++q)
      expect_right(got[size_t(q)], rows, kDim, queries.data() + q * kDim, 20);
  }
}

// Rows that differ in the last bits of one element, within the rounding of a product: the order is
// that of dot products, whichever way the candidates were found.
TEST(Nearest, NearlyEqualRowsAreNotLost) {
  constexpr int64_t kDim = 96, kRows = 2000, kQueries = 16;
  const auto one = unit_rows(1, kDim, 7);
  std::vector<float> rows, queries;
  for (int64_t r = 0; r < kRows; ++r) {
    RandomStream random(8, 0, Purpose::kTest, uint64_t(r));
    for (float v : one) rows.push_back(v * (1 + 1e-7f * float(random.below(8))));
  }
  for (int64_t q = 0; q < kQueries; ++q) queries.insert(queries.end(), one.begin(), one.end());
  const auto block = blocks_of(rows, kDim, {kRows});
  const auto alone = nearest(block, kDim, 1, queries.data(), 10);
  const auto together = nearest(block, kDim, kQueries, queries.data(), 10);
  for (const auto& of_query : together) expect_same(of_query, alone[0], "together");
}

TEST(Nearest, HalfBlocksAreReadAsTheirValues) {
  constexpr int64_t kDim = 48, kRows = 1500, kQueries = 12;
  auto exact = unit_rows(kRows, kDim, 9), queries = unit_rows(kQueries, kDim, 10);
  // A row of zeros of both signs, the least and the largest subnormal, and the least normal number.
  const float special[] = {0.0f, -0.0f, 0x1p-24f, -0x1p-24f, 0x1.ff8p-15f, 0x1p-14f, -0x1p-14f};
  for (int64_t i = 0; i < kDim; ++i) exact[size_t(i)] = special[i % 7];
  std::vector<half> halves;
  std::vector<float> rounded;
  for (float v : exact) {
    halves.push_back(from_float<half>(v));
    rounded.push_back(to_float(halves.back()));
  }
  std::vector<FeatureBlock> mixed = {{halves.data(), 700, DType::kF16},
                                     {rounded.data() + 700 * kDim, 800, DType::kF32}};
  for (const int64_t n : {int64_t{2}, kQueries}) {
    const auto got = nearest(mixed, kDim, n, queries.data(), kRows);
    const auto expected =
        nearest(blocks_of(rounded, kDim, {kRows}), kDim, n, queries.data(), kRows);
    for (size_t q = 0; q < size_t(n); ++q) expect_same(got[q], expected[q], "half");
  }
}

TEST(Nearest, Edges) {
  const std::vector<float> f = {1, 0, 0, 1, 2, 0, 2, 0}, q = {1, 0, 0, 1};
  const auto n = nearest(blocks_of(f, 2, {3, 1}), 2, 2, q.data(), 3);
  ASSERT_EQ(n.size(), 2u);
  ASSERT_EQ(n[0].size(), 3u);
  EXPECT_EQ(n[0][0].row, 2);  // of equals the first
  EXPECT_EQ(n[0][1].row, 3);
  EXPECT_EQ(n[0][2].row, 0);
  EXPECT_EQ(n[1][0].row, 1);
  EXPECT_EQ(nearest(blocks_of(f, 2, {4}), 2, 1, q.data(), 9)[0].size(), 4u);
  for (const auto& none : nearest({}, 2, 2, q.data(), 3)) EXPECT_TRUE(none.empty());
  EXPECT_TRUE(nearest(blocks_of(f, 2, {4}), 2, 0, nullptr, 3).empty());
  EXPECT_TRUE(nearest(blocks_of(f, 2, {4}), 2, 1, q.data(), 0)[0].empty());
}

TEST(Nearest, NotANumberIsNeverFound) {
  constexpr int64_t kDim = 20, kRows = 100, kQueries = 10;
  auto rows = unit_rows(kRows, kDim, 11);
  const auto queries = unit_rows(kQueries, kDim, 12);
  for (int64_t r = 0; r < kRows; r += 2)
    rows[size_t(r * kDim + 3)] = std::numeric_limits<float>::quiet_NaN();
  for (const int64_t n : {int64_t{1}, kQueries}) {
    for (const auto& found : nearest(blocks_of(rows, kDim, {kRows}), kDim, n, queries.data(), 80)) {
      EXPECT_EQ(found.size(), 50u);
      for (const Neighbour& one : found) EXPECT_EQ(one.row % 2, 1);
    }
  }
}

}  // namespace
}  // namespace mome
