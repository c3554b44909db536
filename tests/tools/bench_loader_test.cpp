// `mome bench loader`: the line that bench/compare_loader.py reads, and wrong use.
#include <nlohmann/json.hpp>

#include "tests/runtime/data_files.h"
#include "tests/tools/program.h"

namespace mome {
namespace {

using nlohmann::json;
using BenchLoaderTest = ProgramTest;

TEST_F(BenchLoaderTest, TellsTheRate) {
  const TemporaryFolder pictures;
  for (int i = 0; i < 5; ++i) pictures.write(fmt::format("{}.png", i), numbered_png(i));
  const auto bench = [&](const char* threads) {
    const Result r = mome({"bench", "loader", pictures.path(), "--batch", "4", "--steps", "3",
                           "--warmup", "1", "--size", "32", "--threads", threads, "--json"});
    EXPECT_EQ(r.code, 0) << r.err;
    return json::parse(r.out);
  };
  const json one = bench("1"), two = bench("2");
  EXPECT_EQ(one["pictures"], 12);
  EXPECT_EQ(one["files"], 5);
  EXPECT_EQ(two["threads"], 2);
  EXPECT_NEAR(one["pictures_per_s"].get<double>() * one["seconds"].get<double>(), 12, 1e-6);
  EXPECT_LE(one["waited_s"], one["seconds"]);
  EXPECT_EQ(one["value"], two["value"]);  // the same pictures
}

TEST_F(BenchLoaderTest, WrongUseIsRefused) {
  EXPECT_EQ(mome({"bench", "loader"}).code, 2);
  EXPECT_EQ(mome({"bench", "loader", "x", "--batch", "0"}).code, 2);
  const Result none = mome({"bench", "loader", path("no folder")});
  EXPECT_EQ(none.code, 1);
  expect_in(none.err, {"no folder"});
  const TemporaryFolder pictures;
  pictures.write("0.png", numbered_png(0));
  const Result kind = mome({"bench", "loader", pictures.path(), "--augmentation", "strong"});
  EXPECT_EQ(kind.code, 1);
  expect_in(kind.err, {"strong", "expected none, vlmo or gentle"});
}

}  // namespace
}  // namespace mome
