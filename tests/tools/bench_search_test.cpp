// `mome bench search` and `mome bench embed`: the line that the comparison scripts read, and wrong
// use.
#include <nlohmann/json.hpp>

#include "tests/runtime/data_files.h"
#include "tests/tools/program.h"

namespace mome {
namespace {

using nlohmann::json;
using BenchSearchTest = ProgramTest;

TEST_F(BenchSearchTest, TellsEveryCase) {
  const auto bench = [&](const char* dtype) {
    const Result r = mome({"bench", "search", "--rows", "3000", "--dim", "32", "--queries", "1,20",
                           "--repeats", "1", "--threads", "2", "--dtype", dtype, "--json"});
    EXPECT_EQ(r.code, 0) << r.err;
    return json::parse(r.out);
  };
  const json f32 = bench("f32"), f16 = bench("f16");
  ASSERT_EQ(f32["results"].size(), 2u);
  EXPECT_EQ(f32["threads"], 2);
  for (const json& result : f32["results"]) {
    const double rate = result["queries_per_s"], seconds = result["seconds"];
    EXPECT_NEAR(rate * seconds, result["queries"].get<double>(), 1e-6);
  }
  // The first query is the same in both cases, and so is what it finds; halves are near it.
  const float best = f32["results"][0]["best"];
  EXPECT_EQ(f32["results"][1]["best"], best);
  EXPECT_GT(best, 0.4);
  EXPECT_NEAR(f16["results"][0]["best"].get<float>(), best, 1e-3);
  EXPECT_NE(f16["results"][0]["best"], best);
}

TEST_F(BenchSearchTest, WrongUseIsRefused) {
  EXPECT_EQ(mome({"bench", "search", "--rows", "0"}).code, 2);
  EXPECT_EQ(mome({"bench", "search", "--queries", "1,x"}).code, 2);
  EXPECT_EQ(mome({"bench", "embed"}).code, 2);
  const Result r = mome({"bench", "embed", "--data", path("none.jsonl"), "--model", "vlmo-tiny"});
  EXPECT_EQ(r.code, 1);
  expect_in(r.err, {"vlmo-tiny", "vlmo-base"});
}

}  // namespace
}  // namespace mome
