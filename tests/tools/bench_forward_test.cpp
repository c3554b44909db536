// `mome bench forward`: the line that the comparison script reads, and wrong use.
#include <nlohmann/json.hpp>

#include "tests/runtime/data_files.h"
#include "tests/tools/program.h"

namespace mome {
namespace {

using nlohmann::json;
using BenchForwardTest = ProgramTest;

// Multiply-adds x 2 of the tiny model's products over n tokens in sequences of `length`: QKV, the
// attention's output and the two of an expert, and the attention itself.
double products(double n, double length) {
  const double d = 192;
  return 4 * n * (2 * d * d * (3 + 1 + 4 + 4) + 2 * 2 * length * d);
}

TEST_F(BenchForwardTest, EveryTokenOfEveryBlockIsComputed) {
  for (const char* part : {"image", "text", "fusion"}) {
    const Result r =
        mome({"bench", "forward", "--model", "tiny", "--part", part, "--image-size", "32",
              "--batch", "2", "--steps", "1", "--warmup", "0", "--threads", "2", "--json"});
    ASSERT_EQ(r.code, 0) << r.err;
    const json out = json::parse(r.out);
    const std::string name = part;
    const double images = name == "text" ? 0 : 5, texts = name == "image" ? 0 : 40;
    const double length = images + texts;
    EXPECT_EQ(out["tokens"], 2 * length);
    EXPECT_EQ(out["threads"], 2);
    // The attention's products may be counted or not; patches are 2 x 4 rows of 768 numbers.
    const double patches = images > 0 ? 2.0 * 8 * 768 * 192 : 0;
    EXPECT_GE(out["gflop"].get<double>() * 1e9, products(2 * length, 0) + patches);
    EXPECT_LE(out["gflop"].get<double>() * 1e9, products(2 * length, length) + patches);
    EXPECT_NEAR(out["sequences_per_s"].get<double>() * out["step_s"].get<double>(), 2, 1e-9);
    // States are normalised, the norm's weights are 1: |x| of a Gaussian is 0.80 on average.
    EXPECT_NEAR(out["mean_size"].get<double>(), 0.8, 0.1);
  }
}

TEST_F(BenchForwardTest, WrongUseIsRefused) {
  EXPECT_EQ(mome({"bench", "forward", "--part", "sound"}).code, 2);
  EXPECT_EQ(mome({"bench", "forward", "--batch", "0"}).code, 2);
  const Result r = mome({"bench", "forward", "--model", "vlmo-tiny"});
  EXPECT_EQ(r.code, 2);
  expect_in(r.err, {"vlmo-tiny", "small or base"});
  const Result size = mome({"bench", "forward", "--model", "tiny", "--image-size", "100"});
  EXPECT_EQ(size.code, 2);
  expect_in(size.err, {"--image-size 100", "16"});
}

}  // namespace
}  // namespace mome
