#include "models/objectives/codebook.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
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

TEST(Codebook, OneIterationIsLloydsStep) {
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
