// `mome embed`, `mome search` and `mome serve` as a user runs them, on a model of random weights
// and twelve pictures with a caption each.
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "models/stages/checkpoint.h"
#include "runtime/data/tar.h"
#include "tests/runtime/data_files.h"
#include "tests/tools/program.h"

namespace mome {

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
  /// The folder of a whole index, made anew.
  std::string embed(const std::string& data, const std::vector<std::string>& more = {},
                    const std::string& index = "index") {
    fs::remove_all(path(index));
    std::vector<std::string> all = {"--data", data, "--out", path(index)};
    all.insert(all.end(), more.begin(), more.end());
    const Result r = run("embed", all);
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

}  // namespace mome
