// `mome search`: what is found, how it is named and marked, and what is refused.
#include "tests/tools/search_fixture.h"

namespace mome {
namespace {

TEST_F(SearchTest, OneSplitOfASourceIsUnseen) {
  const std::string data = path("pairs.jsonl"), tar = path("pairs.tar");
  const auto in = [&](const std::string& searched, const std::string& unseen) {
    return marked(search({"--data", searched, "--unseen", unseen, "--top", "12", "red cat"}));
  };
  EXPECT_EQ(in(data, data + ":test"), test_);
  // However the file is named.
  EXPECT_EQ(in(data, fs::relative(data).string() + ":test"), test_);
  EXPECT_EQ(in(fs::relative(data).string(), data + ":test"), test_);
  fs::create_directory_symlink(folder_, path("link"));
  EXPECT_EQ(in(data, path("link/pairs.jsonl:test")), test_);
  // Members of one archive are pictures of their own.
  EXPECT_EQ(in(tar, tar + ":test"), test_);
  EXPECT_EQ(in(tar, data + ":test"), std::set<int>());  // other files
  fs::remove(path("link"));

  const auto both = search({"--data", data, "--unseen", data + ":test", "--unseen", data + ":train",
                            "--top", "12", "red cat"});
  EXPECT_EQ(marked(both).size(), size_t(kPictures));
  expect_refused(run("search", {"--data", data, "--unseen", data, "red cat"}), 2,
                 {data, "splits test, train", ":test"});
  expect_refused(run("search", {"--data", data, "--unseen", data + ":", "red"}), 2, {"no split"});
  expect_refused(run("search", {"--data", data, "--unseen", data + ":tset", "red"}), 1,
                 {"no record of split \"tset\"", "test (4 records)"});
  expect_refused(run("search", {"--data", data, "--unseen", path("none.jsonl:test"), "red"}), 1,
                 {path("none.jsonl") + ": there is no such file"});
}

TEST_F(SearchTest, WhetherTrainedIsSaidOnlyWhenAsked) {
  for (const json& hit : search({"--data", path("pairs.jsonl"), "red cat"}))
    EXPECT_FALSE(hit.contains("trained")) << hit;
  const auto asked =
      search({"--data", path("pairs.jsonl"), "--unseen", path("pairs.jsonl:test"), "red cat"});
  ASSERT_EQ(asked.size(), 8u);
  for (const json& hit : asked) EXPECT_TRUE(hit["trained"].is_boolean());
}

TEST_F(SearchTest, RerankOrdersTheFirstKAlone) {
  const std::vector<std::string> base = {"--data", path("pairs.jsonl"), "--top", "9", "a red cat"};
  const auto with = [&](const std::string& k, const std::string& top = "9") {
    return search({"--data", path("pairs.jsonl"), "--top", top, "--rerank", k, "a red cat"});
  };
  const json plain = search(base);
  const std::vector<std::string> before = images(plain);
  std::set<std::string> orders;
  for (const int k : {1, 4, 9}) {
    const json found = with(std::to_string(k));
    std::vector<std::string> after = images(found);
    ASSERT_EQ(after.size(), 9u);
    orders.insert(fmt::format("{}", fmt::join(after, " ")));
    // Behind the first K nothing has changed; the first K are the same in another order.
    EXPECT_TRUE(std::equal(after.begin() + k, after.end(), before.begin() + k)) << k;
    EXPECT_TRUE(std::is_permutation(after.begin(), after.begin() + k, before.begin())) << k;
    for (int i = 0; i < 9; ++i) {
      EXPECT_EQ(found[size_t(i)].contains("match"), i < k) << k;
      if (0 < i && i < k) {
        EXPECT_GE(found[size_t(i - 1)]["match"].get<double>(), found[size_t(i)]["match"]);
      }
    }
  }
  EXPECT_EQ(orders.size(), 3u) << "the matching head agrees with contrast: nothing was tested";
  // More candidates than results: the best of them are shown.
  const std::vector<std::string> nine = images(with("9")), three = images(with("9", "3"));
  EXPECT_EQ(three, std::vector<std::string>(nine.begin(), nine.begin() + 3));
  EXPECT_EQ(images(with("99")).size(), 9u);
  for (const char* k : {"0", "-3"})
    expect_refused(
        run("search", {"--data", path("pairs.jsonl"), fmt::format("--rerank={}", k), "red"}), 2,
        {fmt::format("--rerank {}: expected at least 1", k)});
}

TEST_F(SearchTest, WrongFilesAreNamed) {
  ModelParts parts = ModelParts::stage_pairs();
  parts.itm = false;
  expect_refused(run("search", {"--data", path("pairs.jsonl"), "--rerank", "3", "red"},
                     save_model("no_itm", 1, parts)),
                 1, {"no_itm.safetensors", "no matching head"});
  const std::string image = save_model("image", 1, ModelParts::stage_image());
  for (const char* command : {"search", "embed", "evaluate"}) {
    std::vector<std::string> more = {"--data", path("pairs.jsonl")};
    if (command == std::string("search")) more.push_back("red");
    if (command == std::string("embed")) more.insert(more.end(), {"--out", path("x")});
    expect_refused(run(command, more, image), 1, {image, "no contrast heads"});
  }
  write_file_atomic(path("vocab.txt"), read_file(path("vocab.txt")) + "more\n");
  expect_refused(run("search", {"--data", path("pairs.jsonl"), "red"}), 1,
                 {path("vocab.txt") + ": has 13 tokens", checkpoint_ + " expects 12"});
}

TEST_F(SearchTest, ABrokenPictureIsNamedOnce) {
  write_file_atomic(path("broken.png"), numbered_png(1).substr(0, 60));
  const Result r = run("search", {"--data", path("pairs.jsonl"), "--image", path("broken.png")});
  expect_refused(r, 1, {"mome: " + path("broken.png") + ": the picture is cut short"});
  EXPECT_EQ(r.err.find("skipped"), std::string::npos) << r.err;

  fs::copy_file(path("broken.png"), path("4.png"), fs::copy_options::overwrite_existing);
  const Result skipped =
      run("search", {"--data", path("pairs.jsonl"), "--max-bad", "0.1", "--top", "12", "red"});
  EXPECT_EQ(skipped.code, 0) << skipped.err;
  expect_in(skipped.err, {"skipped an image: " + path("4.png") + ": the picture is cut short"});
  EXPECT_EQ(skipped.err.find("skipped skipped"), std::string::npos) << skipped.err;
  EXPECT_EQ(skipped.out.find("/4.png"), std::string::npos);
}

TEST_F(SearchTest, AFileOfQueriesGivesALineEach) {
  write_file_atomic(path("q.txt"), "a red cat\n\n blue dog \r\na bird");
  const std::string index = embed(path("pairs.jsonl"));
  const Result r = run("search", {"--index", index, "--queries", path("q.txt"), "--top", "2"});
  ASSERT_EQ(r.code, 0) << r.err;
  expect_in(r.err, {"searching", "3/3"});
  std::istringstream lines(r.out);
  std::vector<std::string> queries;
  for (std::string line; std::getline(lines, line);) {
    const json j = json::parse(line);
    queries.push_back(j["query"]);
    EXPECT_EQ(j["results"].size(), 2u);
    const auto alone = search({"--index", index, "--top", "2", queries.back()});
    EXPECT_EQ(images(j["results"]), images(alone)) << line;
  }
  EXPECT_EQ(queries, (std::vector<std::string>{"a red cat", "blue dog", "a bird"}));
  // To a file: the same lines.
  const std::string out = path("found.jsonl");
  ASSERT_EQ(
      run("search", {"--index", index, "--queries", path("q.txt"), "--top", "2", "--json", out})
          .code,
      0);
  EXPECT_EQ(read_file(out), r.out);
  expect_refused(run("search", {"--index", index, "--queries", path("q.txt"), "red"}), 2,
                 {"one of these"});
  expect_refused(run("search", {"--index", index, "--queries", path("no.txt")}), 1, {"no.txt"});
}

TEST_F(SearchTest, PicturesFindTexts) {
  const std::string index = embed(path("pairs.jsonl"));
  const auto texts = [](const json& results) {
    std::vector<std::string> out;
    for (const json& hit : results) out.push_back(hit["caption"]);
    return out;
  };
  std::vector<std::string> some = {"--index", index, "--top", "12", "--json", path("found.json")};
  for (int i : {3, 7, 3}) some.insert(some.end(), {"--image", path(fmt::format("{}.png", i))});
  ASSERT_EQ(run("search", some).code, 0);
  const json found = json::parse(read_file(path("found.json")));
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0], found[2]);
  EXPECT_NE(found[0]["results"], found[1]["results"]);
  EXPECT_EQ(found[1]["query"], path("7.png"));
  ASSERT_EQ(found[0]["results"].size(), 12u);
  // The same from the data itself, one picture at a time, and from a file of pictures.
  EXPECT_EQ(search({"--data", path("pairs.jsonl"), "--top", "12", "--image", path("7.png")}),
            found[1]["results"]);
  write_file_atomic(path("pictures.txt"), path("3.png") + "\n" + path("7.png") + "\n");
  const Result lines =
      run("search", {"--index", index, "--top", "12", "--images", path("pictures.txt")});
  ASSERT_EQ(lines.code, 0) << lines.err;
  std::istringstream in(lines.out);
  for (int i = 0; i < 2; ++i) {
    std::string line;
    ASSERT_TRUE(std::getline(in, line));
    EXPECT_EQ(json::parse(line), found[size_t(i)]);
  }
  // The matching head puts the first five of the texts in order.
  const json reranked =
      search({"--index", index, "--top", "12", "--rerank", "5", "--image", path("7.png")});
  const auto before = texts(found[1]["results"]), after = texts(reranked);
  EXPECT_TRUE(std::is_permutation(after.begin(), after.begin() + 5, before.begin()));
  EXPECT_TRUE(std::equal(after.begin() + 5, after.end(), before.begin() + 5));
  for (size_t i = 0; i < 12; ++i) EXPECT_EQ(reranked[i].contains("match"), i < 5);
  for (size_t i = 1; i < 5; ++i)
    EXPECT_GE(reranked[i - 1]["match"].get<double>(), reranked[i]["match"].get<double>());
  EXPECT_NE(after, before) << "the matching head agrees with contrast: nothing was tested";
  expect_refused(run("search", {"--index", index, "--image", path("none.png")}), 1, {"none.png"});
  write_file_atomic(path("pictures.txt"), path("3.png") + "\n" + path("none.png") + "\n");
  expect_refused(run("search", {"--index", index, "--images", path("pictures.txt")}), 1,
                 {"none.png"});
}

}  // namespace
}  // namespace mome
