// A pretraining that takes less than a second, all three stages of it, for tests of what happens to
// runs.
#pragma once
#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/image/png.h"
#include "tests/runtime/timing_fields.h"
#include "tests/tools/program.h"

namespace mome {

/// A folder with pairs.jsonl, text.txt, vocab.txt and recipe.toml: 23 steps in three stages, a
/// resume point every second.
class SmallRun : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    // Squares and stripes in six colours: 24 pictures with a caption each.
    const char* colours[] = {"red", "green", "blue", "yellow", "white", "black"};
    const uint8_t rgb[][3] = {{255, 0, 0},   {0, 255, 0},     {0, 0, 255},
                              {255, 255, 0}, {255, 255, 255}, {0, 0, 0}};
    const char* shapes[] = {"square", "stripe", "corner", "cross"};
    std::ofstream lines(path("pairs.jsonl")), text(path("text.txt"));
    for (int c = 0; c < 6; ++c)
      for (int s = 0; s < 4; ++s) {
        Image image;
        image.width = image.height = 16;
        image.pixels.assign(16 * 16 * 3, 128);
        for (int y = 0; y < 16; ++y)
          for (int x = 0; x < 16; ++x) {
            const bool in = s == 0   ? x > 3 && x < 12 && y > 3 && y < 12
                            : s == 1 ? x % 4 < 2
                            : s == 2 ? x + y < 12
                                     : x == y || x + y == 15;
            for (int k = 0; in && k < 3; ++k)
              image.pixels[size_t((y * 16 + x) * 3 + k)] = rgb[c][k];
          }
        const std::string name = fmt::format("{}_{}.png", colours[c], shapes[s]);
        write_png(path(name), image);
        lines << fmt::format(
            "{{\"image\": \"{}\", \"captions\": [\"a {} {}\"], \"split\": \"{}\"}}\n", name,
            colours[c], shapes[s], (c + s) % 4 ? "train" : "test");
        text << "a " << colours[c] << " " << shapes[s] << "\n";
      }
    std::ofstream vocabulary(path("vocab.txt"));
    for (const char* t : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "green", "blue",
                          "yellow", "white", "black", "square", "stripe", "corner", "cross"})
      vocabulary << t << "\n";
    std::ofstream(path("recipe.toml")) << fmt::format(R"(
save_every = 2
log_every = 1
[model]
image_size = 16
patch = 8
width = 16
heads = 2
layers = 2
vl_from = 1
text_length = 6
vocabulary = 16
[data]
train = "{0}/pairs.jsonl"
text = ["{0}/text.txt"]
vocabulary = "{0}/vocab.txt"
[stages.image]
steps = 7
batch = 8
[stages.text]
steps = 7
batch = 8
average = 0.9
[stages.pairs]
steps = 9
batch = 8
average = 0.5
)",
                                                      folder_);
  }
  std::vector<std::string> command(const std::string& output,
                                   std::vector<std::string> more = {}) const {
    std::vector<std::string> c = {"pretrain", path("recipe.toml"), "--set",
                                  "output=" + path(output)};
    for (const std::string& m : more) c.push_back(m);
    return c;
  }
  // The log without what a clock decides.
  std::string log_of(const std::string& output) const { return log_without_timing(path(output) + "/log.jsonl"); }
  void expect_same_run(const std::string& a, const std::string& b) {
    for (const char* stage : {"image", "text", "pairs"}) {
      const std::string file = fmt::format("/{}.safetensors", stage);
      EXPECT_TRUE(read_file(path(a) + file) == read_file(path(b) + file)) << stage << " differs";
    }
    EXPECT_EQ(log_of(a), log_of(b));
  }
};

}  // namespace mome
