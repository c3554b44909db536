// `mome embed` and `mome search` on a model of random weights: what is found, how it is named and
// marked, and what is refused.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "models/stages/checkpoint.h"
#include "runtime/data/tar.h"
#include "runtime/io/safetensors.h"
#include "tests/runtime/data_files.h"
#include "tests/tools/program.h"

namespace mome {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class SearchTest : public ProgramTest {
 protected:
  static constexpr int kPictures = 12;  // every third is of split "test"

  void SetUp() override {
    ProgramTest::SetUp();
    std::ofstream vocabulary(path("vocab.txt"));
    for (const char* t : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "green", "blue",
                          "cat", "dog", "bird"})
      vocabulary << t << "\n";
    std::ofstream lines(path("pairs.jsonl"));
    TarWriter tar(path("pairs.tar"));
    for (int i = 0; i < kPictures; ++i) {
      const std::string png = numbered_png(i);
      const char* colours[] = {"red", "green", "blue"};
      const char* animals[] = {"cat", "dog", "bird"};
      const std::string caption = fmt::format("a {} {}", colours[i % 3], animals[i / 3 % 3]);
      const json fields = {{"captions", {caption}}, {"split", i % 3 ? "train" : "test"}};
      json line = fields;
      line["image"] = fmt::format("{}.png", i);
      write_file_atomic(path(fmt::format("{}.png", i)), png);
      lines << line.dump() << "\n";
      tar.add(fmt::format("{:04}.png", i), png);
      tar.add(fmt::format("{:04}.json", i), fields.dump());
    }
    tar.finish();
    checkpoint_ = save_model("model", 1, ModelParts::stage_pairs());
  }

  std::string save_model(const std::string& name, uint64_t seed, const ModelParts& parts,
                         int64_t width = 16) const {
    ModelConfig c;
    c.image_size = 16, c.patch = 8, c.width = width, c.heads = 2, c.layers = 2, c.vl_from = 1;
    c.text_length = 6, c.vocabulary = 12, c.init_std = 0.5;
    MomeModel model(c, parts);
    model.parameters().initialize(seed);
    save_weights(model, path(name + ".safetensors"), false, {});
    return path(name + ".safetensors");
  }

  Result run(const std::string& command, std::vector<std::string> more,
             const std::string& checkpoint = "") {
    std::vector<std::string> all = {command, "--checkpoint",
                                    checkpoint.empty() ? checkpoint_ : checkpoint, "--vocabulary",
                                    path("vocab.txt")};
    all.insert(all.end(), more.begin(), more.end());
    return mome(all);
  }
  std::string embed(const std::string& data, const std::string& index = "index.safetensors") {
    const Result r = run("embed", {"--data", data, "--out", path(index)});
    EXPECT_EQ(r.code, 0) << r.err;
    return path(index);
  }
  /// The results of the first query.
  json search(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--json", path("found.json")});
    const Result r = run("search", arguments);
    EXPECT_EQ(r.code, 0) << r.err;
    return r.code == 0 ? json::parse(read_file(path("found.json")))[0]["results"] : json::array();
  }
  void expect_refused(const Result& r, int code, std::initializer_list<std::string> parts) {
    EXPECT_EQ(r.code, code) << r.err;
    expect_in(r.err, parts);
  }
  static std::vector<std::string> images(const json& results) {
    std::vector<std::string> out;
    for (const json& hit : results) out.push_back(hit["image"]);
    return out;
  }
  /// Numbers of the pictures that are marked as never trained on.
  static std::set<int> marked(const json& results) {
    std::set<int> out;
    for (const json& hit : results) {
      const std::string image = hit["image"];
      const size_t name = image.find_last_of("/ ") + 1;
      if (!hit["trained"].get<bool>()) out.insert(std::stoi(image.substr(name)));
    }
    return out;
  }

  std::string checkpoint_;
  const std::set<int> test_ = {0, 3, 6, 9};
};

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

TEST_F(SearchTest, AnIndexKnowsItsPictures) {
  // Made with a relative path, it is searched from anywhere.
  const std::string tar = embed(fs::relative(path("pairs.tar")).string());
  const json found = search({"--index", tar, "--top", "12", "a red cat"});
  const json expected = search({"--data", path("pairs.tar"), "--top", "12", "a red cat"});
  EXPECT_EQ(found, expected);
  std::set<std::string> names;
  for (const json& hit : found) {
    names.insert(hit["image"]);
    EXPECT_EQ(hit["archive"], path("pairs.tar"));
    const std::string member = read_file(path("pairs.tar")).substr(hit["offset"], hit["size"]);
    const int number =
        std::stoi(hit["image"].get<std::string>().substr(path("pairs.tar: ").size()));
    EXPECT_EQ(hit["image"], path("pairs.tar") + fmt::format(": {:04}.png", number));
    EXPECT_TRUE(member == numbered_png(number)) << hit;
  }
  EXPECT_EQ(names.size(), size_t(kPictures));
  EXPECT_EQ(
      marked(search({"--index", tar, "--unseen", path("pairs.tar:test"), "--top", "12", "red"})),
      test_);
  const auto reranked = [&](const char* option, const std::string& source) {
    return search({option, source, "--rerank", "5", "a red cat"});
  };
  EXPECT_EQ(reranked("--index", tar), reranked("--data", path("pairs.tar")));

  const std::string files = embed(fs::relative(path("pairs.jsonl")).string());
  for (const std::string& image : images(search({"--index", files, "red"})))
    EXPECT_TRUE(fs::path(image).is_absolute() && fs::exists(image)) << image;
}

TEST_F(SearchTest, AnIndexOfAnotherCheckpointIsRefused) {
  const std::string index = embed(path("pairs.jsonl"));
  const std::string other = save_model("other", 2, ModelParts::stage_pairs());
  expect_refused(run("search", {"--index", index, "red"}, other), 1,
                 {index, "another checkpoint (" + checkpoint_, other, "mome embed"});
  // A copy is the same checkpoint.
  fs::copy_file(checkpoint_, path("copy.safetensors"));
  EXPECT_EQ(run("search", {"--index", index, "red"}, path("copy.safetensors")).code, 0);
  // One changed weight is another.
  std::string bytes = read_file(checkpoint_);
  bytes[bytes.size() - 4001] ^= 1;
  write_file_atomic(path("changed.safetensors"), bytes);
  expect_refused(run("search", {"--index", index, "red"}, path("changed.safetensors")), 1,
                 {"another checkpoint"});
}

TEST_F(SearchTest, WrongFilesAreNamed) {
  const std::string index = embed(path("pairs.jsonl"));
  // An index whose features are narrower than the checkpoint's.
  const SafeTensors file(index);
  const std::vector<float> narrow(8 * kPictures);
  const TensorEntry entries[] = {
      {"image_features", "F32", {kPictures, 8}, narrow.data()},
      {"image_record", "I64", {kPictures}, file.find("image_record")->data}};
  write_safetensors(path("narrow.safetensors"), entries, file.metadata());
  expect_refused(run("search", {"--index", path("narrow.safetensors"), "red"}), 1,
                 {path("narrow.safetensors"), "image_features", "[12, 8]", "[.., 16]"});
  expect_refused(run("search", {"--index", checkpoint_, "red"}), 1, {checkpoint_, "mome embed"});
  std::map<std::string, std::string> unsigned_index = file.metadata();
  unsigned_index.erase("checkpoint_fingerprint");
  write_safetensors(path("unsigned.safetensors"), entries, unsigned_index);
  expect_refused(run("search", {"--index", path("unsigned.safetensors"), "red"}), 1,
                 {path("unsigned.safetensors"), "checkpoint_fingerprint"});

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
  expect_refused(run("search", {"--index", index, "red"}), 1,
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

TEST_F(SearchTest, EmbeddingShowsHowFarItIs) {
  const Result r = run("embed", {"--data", path("pairs.jsonl"), "--out", path("i.safetensors")});
  ASSERT_EQ(r.code, 0) << r.err;
  expect_in(r.err, {"embedding", "24/24"});  // 12 pictures and 12 captions
  expect_in(run("search", {"--data", path("pairs.jsonl"), "red"}).err, {"embedding", "12/12"});
}

}  // namespace
}  // namespace mome
