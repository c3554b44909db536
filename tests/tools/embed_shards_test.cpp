// `mome embed`: the shards that it writes, how a stopped run goes on, and broken pictures.
#include <signal.h>

#include <chrono>
#include <cstring>
#include <map>
#include <thread>

#include "kernels/common/half.h"
#include "runtime/io/safetensors.h"
#include "tests/tools/search_fixture.h"

namespace mome {
namespace {

class EmbedShardsTest : public SearchTest {
 protected:
  /// Every file of a folder by its name.
  static std::map<std::string, std::string> content(const std::string& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(folder))
      files[entry.path().filename()] = read_file(entry.path());
    return files;
  }
  static void expect_same(const std::string& a, const std::string& b) {
    const auto left = content(a), right = content(b);
    EXPECT_EQ(left.size(), right.size());
    for (const auto& [name, bytes] : left)
      EXPECT_TRUE(right.contains(name) && right.at(name) == bytes) << name;
  }
  static std::vector<json> lines(const std::string& file) {
    std::vector<json> out;
    std::istringstream in(read_file(file));
    for (std::string line; std::getline(in, line);) out.push_back(json::parse(line));
    return out;
  }
  static std::vector<float> values(const std::string& file) {
    const SafeTensors tensors(file);
    const auto* t = tensors.find("features");
    std::vector<float> out(size_t(t->elements));
    for (size_t i = 0; i < out.size(); ++i) {
      half h;
      if (t->dtype == "F32")
        std::memcpy(&out[i], t->data + 4 * i, 4);
      else
        std::memcpy(&h, t->data + 2 * i, 2), out[i] = to_float(h);
    }
    return out;
  }
  void break_picture(int i) {
    write_file_atomic(path(fmt::format("{}.png", i)), numbered_png(i).substr(0, 60));
  }
};

TEST_F(EmbedShardsTest, ShardsTogetherAreTheWhole) {
  const std::string whole = embed(path("pairs.jsonl"), {}, "whole");
  const std::string index = embed(path("pairs.jsonl"), {"--shard-rows", "5"});
  const json j = json::parse(read_file(index + "/index.json"));
  EXPECT_TRUE(j["complete"].get<bool>());
  EXPECT_EQ(j["dim"], 16);
  EXPECT_EQ(j["what"], "both");
  EXPECT_EQ(j["source"], path("pairs.jsonl"));
  for (const std::string side : {"images", "texts"}) {
    EXPECT_EQ(j[side]["rows"], 12);
    ASSERT_EQ(j[side]["shards"].size(), 3u);
    std::vector<float> all;
    std::vector<json> records;
    for (const json& shard : j[side]["shards"]) {
      const auto some = values(index + "/" + shard["features"].get<std::string>());
      EXPECT_EQ(some.size(), shard["rows"].get<size_t>() * 16);
      all.insert(all.end(), some.begin(), some.end());
      const auto of = lines(index + "/" + shard["records"].get<std::string>());
      EXPECT_EQ(of.size(), shard["rows"].get<size_t>());
      records.insert(records.end(), of.begin(), of.end());
    }
    const auto expected = values(whole + "/" + side + "-00000.safetensors");
    ASSERT_EQ(all.size(), expected.size());
    for (size_t i = 0; i < all.size(); ++i) EXPECT_NEAR(all[i], expected[i], 1e-6);
    EXPECT_EQ(records, lines(whole + "/" + side + "-00000.jsonl"));
    for (size_t i = 0; i < records.size(); ++i) {
      EXPECT_EQ(records[i]["record"], i);
      EXPECT_EQ(records[i]["image"], path(fmt::format("{}.png", i)));
      EXPECT_EQ(records[i]["captions"].size(), 1u);
    }
  }
  const auto found = [&](const std::string& folder) {
    return images(search({"--index", folder, "--top", "12", "a red cat"}));
  };
  EXPECT_EQ(found(index), found(whole));
}

TEST_F(EmbedShardsTest, FormatsHoldTheSameValues) {
  const std::string f32 = embed(path("pairs.jsonl"), {"--shard-rows", "7"}, "f32");
  const std::string f16 =
      embed(path("pairs.jsonl"), {"--shard-rows", "7", "--dtype", "f16"}, "f16");
  const std::string npy =
      embed(path("pairs.jsonl"), {"--shard-rows", "7", "--format", "npy"}, "npy");
  const std::string npy16 = embed(
      path("pairs.jsonl"), {"--shard-rows", "7", "--format", "npy", "--dtype", "f16"}, "npy16");
  for (const char* shard : {"images-00000", "images-00001", "texts-00001"}) {
    const auto exact = values(fmt::format("{}/{}.safetensors", f32, shard));
    const auto halves = values(fmt::format("{}/{}.safetensors", f16, shard));
    ASSERT_EQ(exact.size(), halves.size());
    for (size_t i = 0; i < exact.size(); ++i)
      EXPECT_EQ(halves[i], to_float(from_float<half>(exact[i])));
    const std::string array = read_file(fmt::format("{}/{}.npy", npy, shard));
    ASSERT_GT(array.size(), exact.size() * 4);
    EXPECT_EQ(array.compare(0, 8, std::string("\x93NUMPY\x01\x00", 8)), 0);
    const size_t header = array.size() - exact.size() * 4;
    EXPECT_EQ(header % 64, 0u);
    expect_in(array.substr(0, header),
              {"'descr': '<f4'", fmt::format("'shape': ({}, 16)", exact.size() / 16)});
    EXPECT_EQ(std::memcmp(array.data() + header, exact.data(), exact.size() * 4), 0);
  }
  const auto found = [&](const std::string& folder) {
    return search({"--index", folder, "--top", "12", "a red cat"});
  };
  EXPECT_EQ(found(npy), found(f32));
  EXPECT_EQ(found(npy16), found(f16));
  EXPECT_NE(found(f16), found(f32));  // by the rounding
  EXPECT_EQ(images(found(f16)), images(found(f32)));
}

TEST_F(EmbedShardsTest, AFileOfTextsIsEmbedded) {
  write_file_atomic(path("texts.txt"), "a red cat\na blue dog\n\na green bird\n");
  const auto embed_texts = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--texts", path("texts.txt"), "--out", path("texts")});
    return run("embed", more);
  };
  const Result r = embed_texts({});
  ASSERT_EQ(r.code, 0) << r.err;
  const json hits = search({"--index", path("texts"), "--image", path("3.png")});
  ASSERT_EQ(hits.size(), 3u);
  std::set<std::string> captions;
  for (const json& hit : hits) {
    captions.insert(hit["caption"]);
    EXPECT_FALSE(hit.contains("image"));
  }
  EXPECT_EQ(captions, (std::set<std::string>{"a red cat", "a blue dog", "a green bird"}));
  expect_refused(run("search", {"--index", path("texts"), "red"}), 1, {"no pictures"});
  expect_refused(embed_texts({"--data", path("pairs.jsonl")}), 2, {"one of --data and --texts"});
  expect_refused(embed_texts({"--what", "images"}), 2, {"--what"});
}

// As a kill leaves a folder: some shards whole, one half written, the index of an earlier moment.
TEST_F(EmbedShardsTest, AStoppedRunGoesOn) {
  const std::vector<std::string> how = {"--shard-rows", "3"};
  const std::string whole = embed(path("pairs.jsonl"), how, "whole");
  const std::vector<std::string> again = {"--data",      path("pairs.jsonl"), "--out",
                                          path("index"), "--shard-rows",      "3"};
  for (const int shards : {0, 2, 4}) {
    SCOPED_TRACE(shards);
    const std::string index = embed(path("pairs.jsonl"), how);
    json j = json::parse(read_file(index + "/index.json"));
    auto& list = j["images"]["shards"];
    list.erase(list.begin() + shards, list.end());
    j["texts"]["shards"] = json::array();
    j["complete"] = false;
    write_file_atomic(index + "/index.json", j.dump());
    if (shards < 4) {
      const std::string half = fmt::format("{}/images-{:05}.safetensors", index, shards);
      std::ofstream(half + ".tmp") << "half";
      fs::remove(half);
    }
    const auto kept = fs::exists(index + "/images-00001.safetensors")
                          ? fs::last_write_time(index + "/images-00001.safetensors")
                          : fs::file_time_type{};
    const Result r = run("embed", again);
    ASSERT_EQ(r.code, 0) << r.err;
    expect_same(index, whole);
    if (shards >= 2) {  // what was whole is not made again
      EXPECT_EQ(fs::last_write_time(index + "/images-00001.safetensors"), kept);
    }
  }
  // A finished run does nothing, unless a shard has gone.
  const auto before = fs::last_write_time(path("index/index.json"));
  ASSERT_EQ(run("embed", again).code, 0);
  EXPECT_EQ(fs::last_write_time(path("index/index.json")), before);
  fs::remove(path("index/images-00002.jsonl"));
  const Result r = run("embed", again);
  ASSERT_EQ(r.code, 0) << r.err;
  expect_in(r.err, {"going on from shard 3 of the images", "images-00002.jsonl"});
  expect_same(path("index"), whole);
}

TEST_F(EmbedShardsTest, AKilledRunGoesOn) {
  const std::vector<std::string> how = {"--shard-rows", "1"};
  const std::string whole = embed(path("pairs.jsonl"), how, "whole");
  const std::vector<std::string> arguments = {
      "embed",  "--checkpoint",      checkpoint_, "--vocabulary", path("vocab.txt"),
      "--data", path("pairs.jsonl"), "--out",     path("index"),  "--shard-rows",
      "1"};
  int killed = 0;
  for (const int shard : {0, 3, 7, 11})  // as soon as this one is there
    killed += kill_at(arguments, fmt::format("{}/images-{:05}.safetensors", path("index"), shard));
  EXPECT_GT(killed, 0) << "it was never killed in time: nothing was tested";
  ASSERT_EQ(finish(start(arguments)).code, 0);
  for (const auto& entry : fs::directory_iterator(path("index")))
    if (entry.path().extension() == ".tmp") fs::remove(entry.path());
  expect_same(path("index"), whole);
}

TEST_F(EmbedShardsTest, AnotherRunsFolderIsRefused) {
  const std::string index = embed(path("pairs.jsonl"), {"--shard-rows", "5"});
  const auto again = [&](std::vector<std::string> more, const std::string& data = "pairs.jsonl",
                         const std::string& checkpoint = "") {
    more.insert(more.end(), {"--data", path(data), "--out", index});
    if (std::find(more.begin(), more.end(), "--shard-rows") == more.end())
      more.insert(more.end(), {"--shard-rows", "5"});
    return run("embed", more, checkpoint);
  };
  EXPECT_EQ(again({}).code, 0);
  const auto before = content(index);
  expect_refused(again({"--dtype", "f16"}), 1, {index, "--dtype f32 there, f16 here"});
  expect_refused(again({"--what", "images"}), 1, {"--what both there, images here"});
  expect_refused(again({"--format", "npy"}), 1, {"--format safetensors there, npy here"});
  expect_refused(again({"--shard-rows", "6"}), 1, {"--shard-rows 5 there, 6 here"});
  expect_refused(again({"--split", "test"}), 1, {"--split \"\" there, \"test\" here"});
  expect_refused(again({}, "pairs.tar"), 1,
                 {path("pairs.jsonl") + " there", path("pairs.tar") + " here"});
  const std::string other = save_model("other", 2, ModelParts::stage_pairs());
  expect_refused(again({}, "pairs.jsonl", other), 1, {"checkpoint " + checkpoint_, other});
  std::string changed = read_file(path("pairs.jsonl"));
  changed.replace(changed.find("red"), 3, "dog");
  write_file_atomic(path("pairs.jsonl"), changed);
  expect_refused(again({}), 1, {path("pairs.jsonl") + " has changed since"});
  EXPECT_EQ(content(index), before);
  // A folder of other files, and a file.
  expect_refused(run("embed", {"--data", path("pairs.tar"), "--out", folder_}), 1,
                 {folder_, "not empty", "index.json"});
  expect_refused(run("embed", {"--data", path("pairs.tar"), "--out", path("vocab.txt")}), 1,
                 {path("vocab.txt")});
}

TEST_F(EmbedShardsTest, BrokenPicturesCountOverTheWholeRun) {
  for (int i : {1, 4, 10}) break_picture(i);
  const std::vector<std::string> arguments = {"--data",      path("pairs.jsonl"), "--out",
                                              path("index"), "--shard-rows",      "5"};
  const auto with = [&](const char* max_bad) {
    auto all = arguments;
    all.insert(all.end(), {"--max-bad", max_bad});
    return run("embed", all);
  };
  // Two of twelve may be broken: the third ends the run in its last shard, and again when it goes
  // on, for the two before are counted.
  expect_refused(with("0.17"), 1, {"3 of 12 images", "at most 2", "1.png"});
  const json stopped = json::parse(read_file(path("index/index.json")));
  EXPECT_EQ(stopped["images"]["shards"].size(), 2u);
  expect_refused(with("0.17"), 1, {"3 of 12 images"});
  const Result r = with("0.25");
  ASSERT_EQ(r.code, 0) << r.err;
  for (const char* name : {"1.png", "4.png", "10.png"}) expect_in(r.err, {path(name)});
  expect_in(r.out, {"9 pictures (3 skipped)"});
  const json j = json::parse(read_file(path("index/index.json")));
  EXPECT_EQ(j["images"]["rows"], 9);
  EXPECT_EQ(j["images"]["skipped"], 3);
  EXPECT_EQ(j["images"]["shards"][0]["rows"], 3);
  const auto skipped = lines(path("index/images-00000.skipped.jsonl"));
  ASSERT_EQ(skipped.size(), 2u);
  EXPECT_EQ(skipped[1]["image"], path("4.png"));
  // The same as a run that was not stopped; rows and records still belong together.
  const std::string whole =
      embed(path("pairs.jsonl"), {"--shard-rows", "5", "--max-bad", "0.25"}, "whole");
  expect_same(path("index"), whole);
  const auto found = images(search({"--index", path("index"), "--top", "12", "red"}));
  const auto expected =
      images(search({"--data", path("pairs.jsonl"), "--max-bad", "0.25", "--top", "12", "red"}));
  EXPECT_EQ(found, expected);
}

TEST_F(EmbedShardsTest, ShowsHowFarItIs) {
  const Result r = run("embed", {"--data", path("pairs.jsonl"), "--out", path("i")});
  ASSERT_EQ(r.code, 0) << r.err;
  expect_in(r.err, {"embedding images", "embedding texts", "12/12", "/s"});
  expect_in(run("search", {"--data", path("pairs.jsonl"), "red"}).err, {"embedding", "12/12"});
}

}  // namespace
}  // namespace mome
