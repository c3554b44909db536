// `mome report` on a made-up run: what is on the page, and what it says of bad files.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

namespace mome {
namespace {

namespace fs = std::filesystem;

class ReportCommand : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(root);
    fs::create_directories(root / "data/images");
    write("log.jsonl",
          "{\"stage\": \"image\", \"step\": 1, \"loss\": 3.5, \"note\": \"x\"}\n"
          "{\"stage\": \"image\", \"step\": 2, \"loss\": 2.5}\n"
          "{\"stage\": \"pairs\", \"step\": 1, \"itc\": 4.0}\n"
          "{\"stage\": \"pairs\", \"step\": 2, \"itc\": 3.0}\n"
          "{\"stage\": \"pairs\", \"step\": 2, \"itc\": 3.25}\n"
          "{\"stage\": \"pai");
  }
  void TearDown() override { fs::remove_all(root); }

  void write(const char* file, const std::string& text) { std::ofstream(root / file) << text; }
  std::string read(const char* file) {
    std::ifstream in(root / file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // The exit status; what was printed, both streams, goes to `output`.
  int run() {
    output.clear();
    FILE* pipe = popen(("'" MOME_PROGRAM "' report '" + root.string() + "' 2>&1").c_str(), "r");
    std::array<char, 4096> buffer;
    while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe))
      output.append(buffer.data(), n);
    return WEXITSTATUS(pclose(pipe));
  }
  void expect_failure(const std::string& part) {
    EXPECT_EQ(run(), 1);
    EXPECT_NE(output.find(part), std::string::npos) << output;
  }
  static size_t count(const std::string& text, const std::string& part) {
    size_t n = 0;
    for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++n;
    return n;
  }

  const fs::path root = fs::path(testing::TempDir()) / "mome_report_test";
  std::string output;
};

TEST_F(ReportCommand, CurvesAlone) {
  ASSERT_EQ(run(), 0) << output;
  const std::string page = read("report.html");
  EXPECT_EQ(count(page, "<svg"), 2u);
  EXPECT_EQ(count(page, ">3.25</text>"), 1u);  // the step that was done again counts
  EXPECT_EQ(count(page, "stage image"), 1u);
  EXPECT_EQ(count(page, "Retrieval"), 0u);
  EXPECT_FALSE(fs::exists(root / "summary.json"));
}

TEST_F(ReportCommand, EverythingOnOnePage) {
  const std::string rates = R"("text_to_image": {"r1": 0.6, "r5": 0.8, "r10": 0.9},
      "image_to_text": {"r1": 0.5, "r5": 0.7, "r10": 0.875}, "pictures": 540)";
  write("evaluation.json", R"({"retrieval": {)" + rates + R"(, "chance": {"r1": 0.002}},
      "by_kind": {"tone": {)" + rates +
                               R"(}}, "mlm_accuracy": 0.395})");
  write("seconds.json", R"({"setup": 1.5, "total": 9})");
  write("searches.json", R"([{"query": "<b>", "results": [
      {"image": "images/a.png", "caption": "an & b", "score": 0.25, "trained": false},
      {"image": "images/a.png", "caption": "c", "score": 0.125, "trained": true}]}])");
  write("data/images/a.png", "\x89PNG");
  ASSERT_EQ(run(), 0) << output;
  const std::string page = read("report.html");
  EXPECT_EQ(count(page, "<td>87.5</td>"), 2u);
  EXPECT_EQ(count(page, "<td>0.2</td>"), 1u);
  EXPECT_EQ(count(page, "39.5 %"), 1u);
  EXPECT_EQ(count(page, "&lt;b&gt;"), 1u);
  EXPECT_EQ(count(page, "<b>"), 0u);
  EXPECT_EQ(count(page, "alt=\"an &amp; b\""), 1u);
  EXPECT_EQ(count(page, "src=\"data:image/png;base64,iVBORw==\""), 2u);
  EXPECT_EQ(count(page, "class=\"new\""), 1u);
  EXPECT_EQ(count(page, "http"), 0u);  // nothing from elsewhere
  const auto summary = nlohmann::json::parse(read("summary.json"));
  EXPECT_EQ(summary["seconds"]["total"], 9);
  EXPECT_EQ(summary["retrieval"]["image_to_text"]["r10"], 0.875);
}

TEST_F(ReportCommand, APictureInsideAnArchiveIsShown) {
  write("searches.json", R"([{"query": "q", "results": [{"image": "s.tar: 1.png",
      "archive": "s.tar", "offset": 3, "size": 4, "caption": "c", "score": 0.25}]}])");
  write("data/s.tar", "...\x89PNG...");
  ASSERT_EQ(run(), 0) << output;
  const std::string page = read("report.html");
  EXPECT_EQ(count(page, "src=\"data:image/png;base64,iVBORw==\""), 1u);
  EXPECT_EQ(count(page, "class=\"new\""), 0u);  // nobody said that it was not trained on
}

TEST_F(ReportCommand, BadFilesAreNamed) {
  write("searches.json", R"([{"query": "q", "results": [{"image": "images/none.png"}]}])");
  expect_failure("images/none.png: ");
  write("searches.json", "[{\"query\": ");
  expect_failure("searches.json: not JSON");
  fs::remove(root / "searches.json");
  write("evaluation.json", R"({"retrieval": {"text_to_image": {"r1": "high"}}})");
  expect_failure("wrong type");
  fs::remove(root / "evaluation.json");
  write("log.jsonl", "{\"stage\": \"image\", \"step\": 1}\n{\"stage\": 3}\n");
  expect_failure("log.jsonl: line 2: expected");
  fs::remove(root / "log.jsonl");
  expect_failure("no log.jsonl");
}

}  // namespace
}  // namespace mome
