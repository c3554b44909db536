#include "models/objectives/codebook.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "kernels/common/philox.h"
#include "runtime/io/safetensors.h"

namespace mome {
namespace {

std::string write(const std::vector<float>& entries, std::vector<int64_t> shape,
                  const char* name = "codebook") {
  const std::string path =
      testing::TempDir() + "mome_codebook_" + std::to_string(getpid()) + ".safetensors";
  const std::vector<TensorEntry> t = {{name, "F32", std::move(shape), entries.data()}};
  write_safetensors(path, t, {});
  return path;
}

TEST(Codebook, NearestEntryAndTies) {
  const std::string path =
      write({0, 0, 10, 0, 0, 10, 10, 0}, {4, 2});  // the last equals the second
  const Codebook book(path);
  std::vector<float> x = {1, 1, 9, 2, 2, 9, 5, 0, -3, -3};
  const Tensor patches{x.data(), 5, 2, DType::kF32};
  EXPECT_EQ(
      book.codes(patches),
      (std::vector<int32_t>{0, 1, 2, 0, 0}));  // (5, 0) is as near to 0 as to 1: the first counts
  const Tensor wrong{x.data(), 3, 3, DType::kF32};
  EXPECT_THROW(book.codes(wrong), Error);
  std::filesystem::remove(path);
}

TEST(Codebook, FileErrorsNameTheFile) {
  for (const std::string& path : {write({1, 2}, {2}), write({1, 2}, {1, 2}, "book")}) {
    try {
      Codebook book(path);
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(path), std::string::npos);
    }
    std::filesystem::remove(path);
  }
}

TEST(Codebook, RecoversPlantedClusters) {
  const int64_t clusters = 7, each = 60, width = 12;
  RandomStream random(3, 0, Purpose::kTest, 0);
  std::vector<float> centre(clusters * width), x;
  for (float& v : centre) v = float(20 * random.normal());
  for (int64_t i = 0; i < clusters * each; ++i)
    for (int64_t d = 0; d < width; ++d)
      x.push_back(centre[size_t(i % clusters * width + d)] + float(0.1 * random.normal()));
  const std::vector<float> e = learn_codebook(clusters * each, width, x.data(), clusters, 5, 1);
  for (int64_t c = 0; c < clusters; ++c) {
    double best = 1e30;
    for (int64_t k = 0; k < clusters; ++k) {
      double d = 0;
      for (int64_t i = 0; i < width; ++i)
        d += std::pow(double(e[size_t(k * width + i)]) - centre[size_t(c * width + i)], 2);
      best = std::min(best, d);
    }
    // The mean of 60 draws of deviation 0.1 in 12 dimensions: squared distance 12 * 0.01 / 60 =
    // 0.002; five times that.
    EXPECT_LT(best, 0.01) << "cluster " << c;
  }
  EXPECT_EQ(e, learn_codebook(clusters * each, width, x.data(), clusters, 5, 1));
}

// Lloyd's step as its definition says it, in double: rows to the nearest entry, entries to the mean
// of their rows; an entry without rows becomes the row that is farthest from its entry.
std::vector<float> lloyd_step(int64_t rows, int64_t width, const std::vector<float>& x,
                              const std::vector<float>& e, int* refills) {
  const int64_t entries = int64_t(e.size()) / width;
  std::vector<double> distance(size_t(rows), INFINITY), sum(e.size(), 0.0);
  std::vector<int64_t> nearest(static_cast<size_t>(rows)), count(size_t(entries), 0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t k = 0; k < entries; ++k) {
      double d = 0;
      for (int64_t i = 0; i < width; ++i)
        d += std::pow(double(x[size_t(r * width + i)]) - e[size_t(k * width + i)], 2);
      if (d < distance[size_t(r)]) distance[size_t(r)] = d, nearest[size_t(r)] = k;
    }
    const int64_t k = nearest[size_t(r)];
    ++count[size_t(k)];
    for (int64_t i = 0; i < width; ++i) sum[size_t(k * width + i)] += x[size_t(r * width + i)];
  }
  std::vector<float> out(e.size());
  for (int64_t k = 0; k < entries; ++k) {
    const auto far = std::max_element(distance.begin(), distance.end());
    const int64_t row = far - distance.begin();
    const bool empty = count[size_t(k)] == 0;
    for (int64_t i = 0; i < width; ++i)
      out[size_t(k * width + i)] =
          empty ? x[size_t(row * width + i)]
                : float(sum[size_t(k * width + i)] / double(count[size_t(k)]));
    if (empty) *far = 0, ++*refills;
  }
  return out;
}

TEST(Codebook, EachIterationIsLloydsStep) {
  const int64_t rows = 600, width = 12, entries = 9;
  RandomStream random(8, 0, Purpose::kTest, 0);
  std::vector<float> x;
  for (int64_t i = 0; i < rows * width; ++i) x.push_back(float(random.normal()));
  // No iterations: the start, which is made of rows.
  std::vector<float> e = learn_codebook(rows, width, x.data(), entries, 0, 4);
  for (int64_t k = 0; k < entries; ++k) {
    bool found = false;
    for (int64_t r = 0; r < rows; ++r)
      found = found || std::equal(&e[size_t(k * width)], &e[size_t(k * width)] + width,
                                  &x[size_t(r * width)]);
    EXPECT_TRUE(found) << k;
  }
  for (int64_t step = 1; step <= 4; ++step) {
    int refills = 0;
    const std::vector<float> expected = lloyd_step(rows, width, x, e, &refills);
    const std::vector<float> next = learn_codebook(rows, width, x.data(), entries, step, 4);
    EXPECT_NE(next, e) << "nothing moved: nothing was tested";
    for (size_t i = 0; i < next.size(); ++i)
      EXPECT_FLOAT_EQ(next[i], expected[i]) << "iteration " << step << ", value " << i;
    e = next;
  }
}

TEST(Codebook, AnEntryWithoutRowsTakesTheFarthestRow) {
  // From the start {-21, 0, 3} the entry at 0 has the rows 0 and -10, moves between them to -5, and
  // loses both to the others, which have moved to -12.7 and 1.9. Few starts are that one.
  const std::vector<float> x = {0,    -10, 3,      1.6f,   1.6f,   1.6f,
                                1.6f, -21, -10.6f, -10.6f, -10.6f, -10.6f};
  const int64_t rows = int64_t(x.size()), entries = 3;
  int refills = 0;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    std::vector<float> e = learn_codebook(rows, 1, x.data(), entries, 0, seed);
    for (int64_t step = 1; step <= 2; ++step) {
      const int before = refills;
      const std::vector<float> expected = lloyd_step(rows, 1, x, e, &refills);
      e = learn_codebook(rows, 1, x.data(), entries, step, seed);
      for (size_t i = 0; i < e.size(); ++i) ASSERT_FLOAT_EQ(e[i], expected[i]) << seed;
      if (refills > before) {
        EXPECT_EQ(std::count(e.begin(), e.end(), -21), 1) << "the row far from all entries";
      }
    }
  }
  EXPECT_GT(refills, 0);
}

TEST(Codebook, ProgressCountsEntriesAndIterations) {
  const std::vector<float> x = {1, 5, 9, 2};
  std::vector<int64_t> told;
  learn_codebook(4, 1, x.data(), 3, 2, 9, [&](int64_t done) { told.push_back(done); });
  EXPECT_EQ(told, (std::vector<int64_t>{2, 3, 4, 5}));
}

TEST(Codebook, AsManyEntriesAsRows) {
  // Rows on a line, entries = rows: every row is its own entry and stays.
  std::vector<float> x = {1, 5, 9, 2};
  std::vector<float> e = learn_codebook(4, 1, x.data(), 4, 3, 9);
  std::sort(e.begin(), e.end());
  EXPECT_EQ(e, (std::vector<float>{1, 2, 5, 9}));
  // Duplicates: fewer distinct rows than entries still gives entries among the rows.
  std::vector<float> same = {4, 4, 4, 4, 4};
  for (float v : learn_codebook(5, 1, same.data(), 3, 2, 1)) EXPECT_EQ(v, 4);
}

}  // namespace
}  // namespace mome
