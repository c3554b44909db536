// `mome search` in a folder of `mome embed`: what it knows, and folders that are broken or of
// another checkpoint.
#include "runtime/io/safetensors.h"
#include "tests/tools/search_fixture.h"

namespace mome {
namespace {

class SearchIndexTest : public SearchTest {
 protected:
  /// Changes index.json of a folder.
  template <class F>
  void edit(const std::string& index, F&& change) {
    json j = json::parse(read_file(index + "/index.json"));
    change(j);
    write_file_atomic(index + "/index.json", j.dump());
  }
  void expect_broken(const std::string& index, std::initializer_list<std::string> parts) {
    expect_refused(run("search", {"--index", index, "--top", "12", "red"}), 1, parts);
  }
};

TEST_F(SearchIndexTest, AnIndexKnowsItsPictures) {
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

TEST_F(SearchIndexTest, AnIndexOfAnotherCheckpointIsRefused) {
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

TEST_F(SearchIndexTest, AnUnfinishedFolderIsRefused) {
  const std::string index = embed(path("pairs.jsonl"), {"--shard-rows", "5"});
  edit(index, [](json& j) {
    j["complete"] = false;
    j["images"]["shards"].erase(2);
  });
  expect_broken(index, {index, "not finished", "shard 3 of 3", "images-00002.safetensors"});
  EXPECT_EQ(run("search", {"--index", index, "--image", path("1.png")}).code, 0)
      << "texts are whole";
  edit(index, [](json& j) { j["images"]["shards"] = json::array(); });
  expect_broken(index, {"shard 1 of 3", "images-00000"});
}

TEST_F(SearchIndexTest, BrokenShardsAreNamed) {
  for (const char* format : {"safetensors", "npy"}) {
    const std::string index = embed(path("pairs.jsonl"), {"--shard-rows", "5", "--format", format});
    const std::string shard = index + "/images-00001." + format,
                      records = index + "/images-00001.jsonl";
    const std::string whole = read_file(shard), lines = read_file(records);
    write_file_atomic(shard, whole.substr(0, whole.size() - 4));
    expect_broken(index, {shard});
    write_file_atomic(shard, whole.substr(0, 3));
    expect_broken(index, {shard, "3 bytes"});
    fs::remove(shard);
    expect_broken(index, {shard, "No such file"});
    // A shard of other rows, and of another width.
    fs::copy_file(index + "/images-00002." + format, shard);
    expect_broken(index, {shard, "[5, 16]"});
    write_file_atomic(shard, whole);
    edit(index, [](json& j) { j["dim"] = 8; });
    expect_broken(index, {index, "width 8", "16"});
    edit(index, [](json& j) { j["dim"] = 16; });
    // Records: cut short, and as many bytes but fewer lines.
    write_file_atomic(records, lines.substr(0, lines.size() - 1));
    expect_broken(index, {records, "the index says"});
    std::string joined = lines;
    joined[joined.find('\n')] = ' ';
    write_file_atomic(records, joined);
    expect_broken(index, {records, "4 records", "5"});
    std::string garbled = lines;
    garbled[0] = 'x';
    write_file_atomic(records, garbled);
    expect_broken(index, {records, "line 1"});
    fs::remove(records);
    expect_broken(index, {records, "No such file"});
    write_file_atomic(records, lines);
    EXPECT_EQ(run("search", {"--index", index, "red"}).code, 0);
  }
  // A safetensors shard of another width than its neighbours.
  const std::string index = embed(path("pairs.jsonl"), {"--shard-rows", "5"});
  const std::vector<float> narrow(5 * 8);
  const TensorEntry entry{"features", "F32", {5, 8}, narrow.data()};
  write_safetensors(index + "/images-00001.safetensors", {&entry, 1}, {});
  expect_broken(index, {"images-00001.safetensors", "[5, 8]", "[5, 16]"});
}

TEST_F(SearchIndexTest, WhatIsNoIndexIsRefused) {
  expect_broken(checkpoint_, {checkpoint_, "is a file", "mome embed"});
  expect_broken(path("nowhere"), {path("nowhere"), "no such folder"});
  expect_broken(folder_, {folder_, "no index.json", "mome embed"});
  const std::string index = embed(path("pairs.jsonl"));
  const std::string good = read_file(index + "/index.json");
  const auto with = [&](const std::string& text) {
    write_file_atomic(index + "/index.json", text);
    return index;
  };
  expect_broken(with(good.substr(0, good.size() / 2)), {index + "/index.json", "parse error"});
  expect_broken(with("[]"), {index + "/index.json", "no index of `mome embed`"});
  expect_broken(with("{\"format\": 3}"), {"no index of `mome embed`"});
  const auto edited = [&](auto&& change) {
    with(good);
    edit(index, change);
    return index;
  };
  expect_broken(edited([](json& j) { j.erase("checkpoint_fingerprint"); }),
                {"index.json", "checkpoint_fingerprint"});
  expect_broken(edited([](json& j) { j["dtype"] = "f64"; }), {"\"f64\"", "\"f32\" or \"f16\""});
  expect_broken(edited([](json& j) { j["dim"] = -1; }), {"\"dim\" is -1"});
  expect_broken(edited([](json& j) { j["images"]["shards"][0]["features"] = "../secret"; }),
                {"../secret", "in this folder"});
  expect_broken(edited([](json& j) { j["images"]["shards"][0]["rows"] = 1e6; }), {"shard_rows"});
  expect_broken(edited([](json& j) { j.erase("images"); }), {"no pictures", "--what images"});
  if (geteuid() != 0) {  // the system's manager may read everything
    with(good);
    fs::permissions(index, fs::perms::none);
    expect_broken(index, {index, "ermission"});
    fs::permissions(index, fs::perms::owner_all);
  }
}

TEST_F(SearchIndexTest, AnEmptyIndexHasNothingToSearch) {
  fs::create_directory(path("pictures"));
  write_file_atomic(path("pictures/1.png"), numbered_png(1));
  const std::string index = embed(path("pictures"));
  expect_refused(run("search", {"--index", index, "--image", path("pictures/1.png")}), 1,
                 {index, "no texts to search"});
  EXPECT_EQ(run("search", {"--index", index, "red"}).code, 0);
}

}  // namespace
}  // namespace mome
