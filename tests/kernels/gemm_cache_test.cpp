// What the cuda device decides on the host: choices of products, and which GPUs a build serves.
#include "kernels/common/gemm_cache.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "kernels/cuda/architectures.h"

namespace mome {
namespace {

std::string path_of(const char* name) {
  const auto path =
      std::filesystem::path(::testing::TempDir()) / (std::string("mome_gemm_cache_") + name);
  std::filesystem::remove_all(path);
  return path.string();
}
const GemmKey kKey = {2, 2, 1, 400, 768, 3072, 3072, 3072, 768, 16, 0, 1},
              kOther = {0, 0, 2, 1, -2, 3, 4, 5, 6, 7, 8, 9};
const GemmAlgorithm kAlgorithm = {1, 2, 3, 4, ~uint64_t{0}, 6, 7, 8}, kSecond = {9};

TEST(GemmCache, KeepsChoicesInMemoryAndFile) {
  const std::string path = path_of("keeps") + "/deep/file.txt";
  GemmCache cache(path);
  EXPECT_TRUE(cache.measures());
  EXPECT_FALSE(cache.find(kKey));
  cache.add(kKey, kAlgorithm);
  EXPECT_EQ(cache.find(kKey), kAlgorithm);
  EXPECT_FALSE(cache.find(kOther));
  GemmCache(path).add(kOther, kSecond);
  const GemmCache again(path);
  EXPECT_EQ(again.find(kKey), kAlgorithm);
  EXPECT_EQ(again.find(kOther), kSecond);
  GemmCache(path).add(kKey, kSecond);  // the last one holds
  EXPECT_EQ(GemmCache(path).find(kKey), kSecond);
}

TEST(GemmCache, DamagedLinesAreLeftAside) {
  const std::string path = path_of("damaged");
  GemmCache(path).add(kKey, kAlgorithm);
  std::string line;
  std::getline(std::ifstream(path), line);
  const auto holds = [&](const std::string& text) {
    std::ofstream(path) << text;
    return GemmCache(path).find(kKey).has_value();
  };
  EXPECT_TRUE(holds(line));
  EXPECT_TRUE(holds("no line of ours\n\xff\xfe\n\n" + line + "\n"));
  for (size_t cut = 0; cut < line.size(); ++cut) EXPECT_FALSE(holds(line.substr(0, cut))) << cut;
  for (size_t at = 0; at < line.size(); ++at) {
    std::string changed = line;
    changed[at] = changed[at] == '3' ? '4' : '3';
    EXPECT_FALSE(holds(changed)) << at;
  }
  EXPECT_FALSE(holds(line + " 1"));
}

TEST(GemmCache, PathThatCannotBeWrittenIsMemoryOnly) {
  const std::string file = path_of("file");
  std::ofstream(file) << "x";
  GemmCache cache(file + "/below.txt");
  cache.add(kKey, kAlgorithm);
  EXPECT_EQ(cache.find(kKey), kAlgorithm);
}

TEST(GemmCache, PathsFromTheEnvironment) {
  const std::string folder = path_of("folder");
  unsetenv("MOME_GEMM_CACHE");
  setenv("XDG_CACHE_HOME", folder.c_str(), 1);
  GemmCache("Tesla V100/SXM2", "120900").add(kKey, kAlgorithm);
  EXPECT_TRUE(std::filesystem::exists(folder + "/mome/gemm-Tesla_V100_SXM2-120900.txt"));
  EXPECT_FALSE(GemmCache("Tesla V100/SXM2", "130000").find(kKey));
  const std::string file = path_of("named");
  setenv("MOME_GEMM_CACHE", file.c_str(), 1);
  GemmCache("A", "1").add(kKey, kAlgorithm);
  EXPECT_TRUE(std::filesystem::exists(file));
  setenv("MOME_GEMM_CACHE", "none", 1);
  GemmCache none("A", "1");
  EXPECT_FALSE(none.measures());
  EXPECT_FALSE(none.find(kKey));
  unsetenv("MOME_GEMM_CACHE");
  unsetenv("XDG_CACHE_HOME");
}

TEST(Architectures, MachineCodeServesItsMajorVersion) {
  EXPECT_TRUE(cuda::runs_on("80-real", 80));
  EXPECT_TRUE(cuda::runs_on("80-real", 89));
  EXPECT_FALSE(cuda::runs_on("86-real", 80));
  EXPECT_FALSE(cuda::runs_on("80-real", 90));
  EXPECT_FALSE(cuda::runs_on("75-real,80-real", 70));
  EXPECT_TRUE(cuda::runs_on("75-real;80-real", 75));
}
TEST(Architectures, PtxServesWhatIsNewer) {
  EXPECT_TRUE(cuda::runs_on("90-real,120-virtual", 121));
  EXPECT_FALSE(cuda::runs_on("90-real,120-virtual", 100));
  EXPECT_TRUE(cuda::runs_on("75", 120));
  EXPECT_FALSE(cuda::runs_on("75", 70));
  EXPECT_TRUE(cuda::runs_on("90a", 90));
  EXPECT_FALSE(cuda::runs_on("90a", 100));
  EXPECT_TRUE(cuda::runs_on("", 70));
  EXPECT_TRUE(cuda::runs_on("native", 70));
}

}  // namespace
}  // namespace mome
