// What broken records and broken files get: a message with file, place and what was expected.
#include <random>

#include "runtime/data/dataset.h"
#include "runtime/data/tar.h"
#include "tests/runtime/data_files.h"

namespace mome {
namespace {

// A line of good JSON for images/0.png.
std::string line(const std::string& fields) {
  return "{\"image\": \"0.png\", \"captions\": [\"a\"]" + fields + "}\n";
}

class DatasetErrors : public ::testing::Test {
 protected:
  DatasetErrors() { folder_.write("0.png", numbered_png(0)); }
  std::string open_error(const std::string& file, const std::string& split = "") const {
    return error_of([&] { open_dataset(file, split, {}); });
  }
  const TemporaryFolder folder_;
};

TEST_F(DatasetErrors, EachBrokenLineIsNamed) {
  const struct {
    std::string line, expected;
  } cases[] = {
      {"{\"image\": \"0.png\", \"captions\": [\"a\"]", "parse error at line 1"},
      {"{\"image\": \"0.png\", \"captions\": \"a\"}",
       "\"captions\" is of type string; expected a list"},
      {"{\"image\": \"0.png\", \"captions\": [1]}",
       "\"captions\" holds a value of type number; expected strings"},
      {"{\"image\": \"0.png\"}", "no \"captions\""},
      {"{\"image\": 3, \"captions\": [\"a\"]}", "\"image\" is of type number; expected a string"},
      {"{\"captions\": [\"a\"]}", "no \"image\""},
      {"[1, 2]", "it is of type array"},
      {"{\"image\": \"1.png\", \"captions\": [\"a\"]}", "there is no image file"},
      {"{\"image\": \"0.png\", \"captions\": [\"\xFF\"]}", "invalid"},
  };
  for (const auto& [broken, expected] : cases) {
    const std::string file =
        folder_.write("d.jsonl", line("") + line("") + broken + "\n" + line(""));
    expect_in(open_error(file), {file + ": line 3: ", expected, "1 of 4 records are broken"});
    const Dataset dataset = open_dataset(file, "", {.max_bad = 0.25});
    EXPECT_EQ(dataset.records.size(), 3u);
    ASSERT_EQ(dataset.problems.size(), 1u);
    expect_in(dataset.problems[0], {file + ": line 3: ", expected});
  }
}

TEST_F(DatasetErrors, OnlyTheFirstFiveAreNamed) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += "{}\n";
  const std::string error = open_error(folder_.write("d.jsonl", text + line("")));
  expect_in(error, {"8 of 9", "line 1:", "line 5:", "and 3 more"});
  EXPECT_EQ(error.find("line 6:"), std::string::npos);
}

TEST_F(DatasetErrors, OnePercentIsAllowed) {
  std::string text = "broken\n";
  for (int i = 0; i < 98; ++i) text += line("");
  expect_in(open_error(folder_.write("d.jsonl", text)), {"1 of 99"});
  const Dataset dataset = open_dataset(folder_.write("d.jsonl", text + line("")), "", {});
  EXPECT_EQ(dataset.records.size(), 99u);
  EXPECT_EQ(dataset.problems.size(), 1u);
}

TEST_F(DatasetErrors, Splits) {
  const std::string with =
      folder_.write("d.jsonl", line(", \"split\": \"train\"") + line(", \"split\": \"restval\"") +
                                   line(", \"split\": \"val\""));
  expect_in(open_error(with, "tset"), {"\"tset\"", "train (2 records)", "val (1 records)"});
  expect_in(open_error(folder_.write("e.jsonl", line("")), "test"), {"name no split", "\"test\""});
}

TEST_F(DatasetErrors, EmptyAndUnknownSources) {
  expect_in(open_error(folder_.write("e.jsonl", "\n\n")), {"e.jsonl", "no record"});
  expect_in(open_error(folder_ / "none.jsonl"), {"none.jsonl", "no such file"});
  expect_in(open_error(folder_.write("d.csv", "a,b")), {"d.csv", "expected a folder, .jsonl"});
  std::filesystem::create_directory(folder_ / "empty");
  expect_in(open_error(folder_ / "empty"), {"neither captions.jsonl nor an image"});
}

TEST_F(DatasetErrors, Json) {
  expect_in(open_error(folder_.write("d.json", "{\"images\":\n [}")),
            {"d.json: parse error at line 2"});
  expect_in(open_error(folder_.write("d.json", "")), {"d.json: ", "unexpected end of input"});
  expect_in(open_error(folder_.write("d.json", "[1]")), {"neither COCO captions", "Karpathy"});
  expect_in(open_error(folder_.write("d.json", R"({"images": [], "annotations": []})")),
            {"no record"});

  const std::string coco = folder_.write("c.json", R"({"images": [{"id": 1, "file_name": "0.png"},
    {"id": 1, "file_name": "0.png"}, {"id": 2.5, "file_name": "0.png"}, {"id": 3}, 7],
    "annotations": [{"image_id": 4, "caption": "x"}, {"image_id": 1, "caption": ["x"]},
    {"image_id": 1}, {"caption": "x"}, [], {"image_id": 1, "caption": "good"}]})");
  const Dataset dataset = open_dataset(coco, "", {.max_bad = 1});
  ASSERT_EQ(dataset.records.size(), 1u);
  EXPECT_EQ(dataset.records[0].captions, std::vector<std::string>{"good"});
  const char* expected[] = {"images[1]: \"id\" 1 was there before",
                            "images[2]: \"id\" is 2.5; expected a whole number",
                            "images[3]: no \"file_name\"",
                            "images[4]: it is of type number",
                            "annotations[0]: \"image_id\" 4 is no id",
                            "annotations[1]: \"caption\" is of type array",
                            "annotations[2]: no \"caption\"",
                            "annotations[3]: no \"image_id\"",
                            "annotations[4]: it is of type array"};
  ASSERT_EQ(dataset.problems.size(), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) {
    expect_in(dataset.problems[i], {coco + ": " + expected[i]});
  }

  const std::string karpathy = folder_.write("k.json", R"({"images": [{"filename": "0.png",
    "split": "train", "sentences": [{"raw": "good"}]}, {"filename": "0.png", "sentences": []},
    {"split": "val", "sentences": []}, {"filename": "0.png", "split": "val", "sentences": "x"},
    {"filename": "0.png", "split": "val", "sentences": [{"raw": 1}]}, null]})");
  const Dataset splits = open_dataset(karpathy, "", {.max_bad = 1});
  EXPECT_EQ(splits.records.size(), 1u);
  const char* wrong[] = {"images[1]: no \"split\"", "images[2]: no \"filename\"",
                         "images[3]: no list \"sentences\"", "images[4]: \"raw\" is of type number",
                         "images[5]: it is of type null"};
  ASSERT_EQ(splits.problems.size(), std::size(wrong));
  for (size_t i = 0; i < std::size(wrong); ++i) {
    expect_in(splits.problems[i], {karpathy + ": " + wrong[i]});
  }
}

TEST_F(DatasetErrors, Shards) {
  folder_.write("s-1.tar", "x");
  expect_in(open_error(folder_ / "s-{0..3}.tar"),
            {"3 of 4 shards are missing", "s-0.tar", "s-2.tar", "s-3.tar"});
  // Whatever names them, all that are missing are told at once, and before any is read.
  expect_in(open_error((folder_ / "s-{0..1}.tar") + "," + (folder_ / "{a,b}-{7..8}.tar") +
                       "::" + (folder_ / "c.tar")),
            {"6 of 7 shards are missing", "s-0.tar", "a-7.tar", "a-8.tar", "b-7.tar", "b-8.tar",
             "c.tar"});
  expect_in(error_of([&] {
              open_datasets({folder_ / "s-{0..1}.tar", folder_ / "none.tar"}, "", {});
            }),
            {"2 of 3 shards are missing", "s-0.tar", "none.tar"});
  // Broken ones likewise, with the place.
  folder_.write("s-2.tar", std::string(600, 'x'));
  expect_in(open_error(folder_ / "s-{1..2}.tar"),
            {"2 of 2 shards cannot be read", "s-1.tar: truncated: ends at byte 1",
             "s-2.tar: offset 0: no tar header"});
  TarWriter tar(folder_ / "w.tar");
  tar.add("a.jpg", "image");
  tar.add("b.webp", "image");
  tar.add("c.txt", "text");
  tar.add("d.jpg", "image");
  tar.add("d.png", "image");
  tar.add("e.jpg", "image");
  tar.add("e.json", "{\"caption\": 1}");
  tar.add("f.jpg", "image");
  tar.add("f.json", "{");
  tar.add("g.jpg", "");
  tar.finish();
  const Dataset dataset = open_dataset(folder_ / "w.tar", "", {.max_bad = 1});
  EXPECT_EQ(dataset.records.size(), 1u);
  const char* expected[] = {"member b.webp: WebP cannot be decoded",
                            "sample c: no image",
                            "member d.png: a second image",
                            "member e.json: \"caption\" is of type number",
                            "member f.json: parse error",
                            "member g.jpg: an image of 0 bytes"};
  ASSERT_EQ(dataset.problems.size(), std::size(expected));
  for (size_t i = 0; i < std::size(expected); ++i) {
    expect_in(dataset.problems[i], {folder_ / "w.tar: " + expected[i]});
  }
}

// Whatever the bytes, the outcome is a data set or an Error: no crash, no other exception.
TEST_F(DatasetErrors, RandomDamageOfJson) {
  const std::string coco = R"({"images": [{"id": 1, "file_name": "0.png"}, {"id": 2, "file_name":
    "0.png"}], "annotations": [{"image_id": 1, "caption": "x\u00e9"},
    {"image_id": 2, "caption": "y"}]})";
  const std::string karpathy =
      R"({"images": [{"filename": "0.png", "filepath": "", "split": "train",
    "sentences": [{"raw": "a", "tokens": ["a", ["b"]]}], "sentids": [0]}]})";
  const std::string lines = line(", \"keywords\": [\"k\"]") + line(", \"split\": \"val\"");
  std::mt19937 random(1);
  int errors = 0;
  for (int round = 0; round < 600; ++round) {
    const bool jsonl = round % 3 == 2;
    std::string text = round % 3 == 0 ? coco : round % 3 == 1 ? karpathy : lines;
    if (round % 2 == 0) text.resize(random() % text.size());
    for (int i = 0; i < int(random() % 4) && !text.empty(); ++i) {
      text[random() % text.size()] = random() % 2 ? char(random()) : "{}[]\",:0"[random() % 8];
    }
    const std::string file = folder_.write(jsonl ? "r.jsonl" : "r.json", text);
    try {
      open_dataset(file, "", {.max_bad = 1, .check_files = false});
    } catch (const Error& e) {
      ++errors;
      expect_in(e.what(), {file});
    }
  }
  EXPECT_GT(errors, 100);  // the damage is real
}

}  // namespace
}  // namespace mome
