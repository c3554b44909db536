// `mome data pairs`, `shards`, `vocab` and `codebook`: what they keep, skip and say.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/data/dataset.h"
#include "runtime/data/read_bytes.h"
#include "runtime/data/tar.h"
#include "runtime/io/safetensors.h"
#include "tests/runtime/data_files.h"
#include "tests/tools/program.h"

namespace mome {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class DataCommandsTest : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    std::ofstream lines(path("in.jsonl"));
    for (int i = 0; i < 10; ++i) {
      write_file_atomic(path(fmt::format("{}.png", i)), numbered_png(i));
      lines << json{{"image", fmt::format("{}.png", i)},
                    {"captions", {fmt::format("picture {}", i)}},
                    {"split", i % 5 ? "train" : "val"}}
                   .dump()
            << "\n";
    }
  }
  void expect_done(const Result& r) { ASSERT_EQ(r.code, 0) << r.err; }
  /// Captions, splits and pictures of what was written are those of the records given.
  void expect_same(const Dataset& got, const std::vector<int>& numbers) {
    ASSERT_EQ(got.records.size(), numbers.size());
    for (size_t i = 0; i < numbers.size(); ++i) {
      const Record& r = got.records[i];
      EXPECT_EQ(r.captions, std::vector<std::string>{fmt::format("picture {}", numbers[i])});
      EXPECT_EQ(r.split, numbers[i] % 5 ? "train" : "val");
      const std::vector<uint8_t> bytes = read_bytes(r.image);
      EXPECT_EQ(std::string(bytes.begin(), bytes.end()), numbered_png(numbers[i]))
          << image_name(r.image);
    }
  }
  const std::vector<int> all_ = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
};

TEST_F(DataCommandsTest, SplitsGoThroughShardsAndBack) {
  expect_done(mome({"data", "shards", path("s"), path("in.jsonl"), "--per-shard", "4"}));
  const std::string shards = path("s-{00000..00002}.tar");
  expect_same(open_dataset(shards, "", {}), all_);
  // Pictures of shards are unpacked beside the output; those of both shards are kept apart.
  expect_done(mome({"data", "pairs", path("sub/back.jsonl"), shards}));
  expect_same(open_dataset(path("sub/back.jsonl"), "", {}), all_);
  EXPECT_TRUE(fs::exists(path("sub/back-pictures/000000009.png")));
  expect_in(read_file(path("sub/back.jsonl")), {"\"image\":\"back-pictures/000000000.png\""});
  expect_done(mome({"data", "pairs", path("copy.jsonl"), path("in.jsonl")}));
  expect_same(open_dataset(path("copy.jsonl"), "", {}), all_);
  expect_done(mome({"data", "pairs", path("val.jsonl"), shards, "--split", "val"}));
  expect_same(open_dataset(path("val.jsonl"), "val", {}), {0, 5});
  // A source that names no split gives none.
  write_file_atomic(path("plain.jsonl"), "{\"image\": \"0.png\", \"captions\": [\"a\"]}\n");
  expect_done(mome({"data", "pairs", path("plain2.jsonl"), path("plain.jsonl")}));
  EXPECT_EQ(read_file(path("plain2.jsonl")).find("split"), std::string::npos);
}

TEST_F(DataCommandsTest, NamesInsideAnArchiveLeadNowhereElse) {
  {
    TarWriter tar(path("evil.tar"));
    tar.add("../../escaped.png", numbered_png(1));
    tar.add("../../escaped.txt", "a caption");
    tar.finish();
  }
  expect_done(mome({"data", "pairs", path("a/b/out.jsonl"), path("evil.tar")}));
  EXPECT_FALSE(fs::exists(path("escaped.png")));
  EXPECT_FALSE(fs::exists(path("a/escaped.png")));
  EXPECT_EQ(open_dataset(path("a/b/out.jsonl"), "", {}).records[0].image.file,
            path("a/b/out-pictures/000000000.png"));
}

TEST_F(DataCommandsTest, ShardsSkipBrokenPicturesUpToALimit) {
  write_file_atomic(path("2.png"), numbered_png(2).substr(0, 60));
  write_file_atomic(path("7.png"), "no picture");
  const auto shards = [&](const std::string& max_bad) {
    return mome(
        {"data", "shards", path("s"), path("in.jsonl"), "--per-shard", "4", "--max-bad", max_bad});
  };
  const Result r = shards("0.2");
  expect_done(r);
  expect_in(r.err, {"skipped an image: " + path("2.png") + ": the picture is cut short",
                    "skipped an image: " + path("7.png") + ": cannot decode"});
  expect_in(r.out, {"8 pictures in 2 shards; 2 broken pictures skipped"});
  expect_same(open_dataset(path("s-{00000..00001}.tar"), "", {}), {0, 1, 3, 4, 5, 6, 8, 9});
  EXPECT_FALSE(fs::exists(path("s-00002.tar")));
  const Result strict = shards("0.1");
  EXPECT_EQ(strict.code, 1);
  expect_in(strict.err, {"2 of 10 images cannot be read; at most 1 may be", path("2.png")});
  for (int i = 0; i < 10; ++i) write_file_atomic(path(fmt::format("{}.png", i)), "x");
  EXPECT_EQ(shards("1").code, 1);
}

TEST_F(DataCommandsTest, VocabSaysWhyItIsSmall) {
  const auto vocab = [&](const std::string& text, const std::string& size) {
    write_file_atomic(path("t.txt"), text);
    const Result r = mome(
        {"data", "vocab", path("v.txt"), path("t.txt"), "--size", size, "--min-frequency", "1"});
    EXPECT_EQ(r.code, 0) << r.err;
    return r.out;
  };
  // All is in: "aab", "ab" and their letters.
  const std::string whole = vocab("ab aab\n", "50");
  expect_in(whole, {"the text gives no more than that (--min-frequency 1)", "model.vocabulary = "});
  EXPECT_EQ(whole.find("room"), std::string::npos) << whole;
  // Letters take up to half of the tokens beside the special ones: 4 of 8 are for a, ##a, b, ##b.
  const std::string cut = vocab("aaba abaa abba xyz uvw\n", "13");
  expect_in(cut, {"6 of 8 characters", "no room in --size 13"});
  const std::string small = vocab("ab ab ab ba ba xyz uvw rst\n", "17");
  expect_in(small, {"no room in --size 17", "a larger --size has room", "model.vocabulary = "});
  EXPECT_EQ(small.find("the text gives no more"), std::string::npos) << small;
  EXPECT_EQ(mome({"data", "vocab", path("v.txt"), path("t.txt"), "--size", "6"}).code, 2);
}

TEST_F(DataCommandsTest, ACodebookSaysHowItWasMade) {
  write_file_atomic(path("3.png"), "no picture");
  const Result r = mome({"data", "codebook", path("c.safetensors"), path("in.jsonl"), "--entries",
                         "6", "--patch", "8", "--image-size", "16", "--samples", "40",
                         "--iterations", "3", "--seed", "11", "--max-bad", "0.1"});
  expect_done(r);
  expect_in(r.err, {"skipped an image: " + path("3.png"), "10/10", "9/9"});
  EXPECT_EQ(r.err.find("skipped skipped"), std::string::npos) << r.err;
  expect_in(r.out, {"from 36 patches of 9 pictures"});
  const auto metadata = SafeTensors(path("c.safetensors")).metadata();
  const std::map<std::string, std::string> expected = {{"source", path("in.jsonl")},
                                                       {"image_size", "16"},
                                                       {"patch", "8"},
                                                       {"pictures", "9"},
                                                       {"samples", "36"},
                                                       {"iterations", "3"},
                                                       {"seed", "11"},
                                                       {"split", ""}};
  EXPECT_EQ(metadata, expected);
}

}  // namespace
}  // namespace mome
