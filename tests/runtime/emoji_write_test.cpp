// What `mome data emoji` leaves on disk, from a made-up set.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/emoji/emoji_set.h"
#include "runtime/image/decode.h"
#include "runtime/image/png.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

EmojiPicture picture(const std::string& image, const std::string& name, int width, int height,
                     EmojiFate fate = {}) {
  EmojiPicture out;
  out.image = image;
  out.captions = emoji_captions(name);
  out.keywords = {"kw one", "kw of " + name};
  out.fate = fate;
  out.source = "made up";
  // One dark colour: what is white afterwards is padding.
  out.png = encode_png({width, height, std::vector<uint8_t>(size_t{3} * width * height, 40)});
  return out;
}

// The smallest rectangle of dark pixels: left, top, right, bottom, ends included.
std::array<int, 4> dark_box(const Image& image) {
  std::array<int, 4> box = {image.width, image.height, -1, -1};
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x)
      if (image.pixels[3 * (y * image.width + x)] < 200)
        box = {std::min(box[0], x), std::min(box[1], y), std::max(box[2], x), std::max(box[3], y)};
  return box;
}

class EmojiWrite : public testing::Test {
 protected:
  EmojiWrite() {
    fs::remove_all(root);
    set.noto = {
        picture("images/noto/1F600.png", "grinning face", 136, 128),
        picture("images/noto/1F44B-1F3FF.png", "waving hand: dark skin tone", 136, 128,
                {EmojiSplit::kTest, EmojiKind::kTone}),
        picture("images/noto/1F44B-1F3FB.png", "waving hand: light skin tone", 136, 128,
                {EmojiSplit::kVal, EmojiKind::kTone}),
        picture("images/noto/1F989.png", "owl", 16, 8, {EmojiSplit::kTest, EmojiKind::kDrawing})};
    set.emojione = {picture("images/emojione/1F989.png", "owl", 64, 64)};
    sources.versions = {"some-font 1.2-3"};
  }
  ~EmojiWrite() override { fs::remove_all(root); }

  std::vector<nlohmann::json> lines(const char* file) {
    std::istringstream in(read_file((root / file).string()));
    std::vector<nlohmann::json> out;
    for (std::string line; std::getline(in, line);) out.push_back(nlohmann::json::parse(line));
    return out;
  }
  void write(int size) {
    write_emoji_set(set, sources, root.string(), size, [&](size_t done, size_t total) {
      told = {done, total};
    });
  }

  const fs::path root = fs::path(testing::TempDir()) / "mome_emoji_write_test";
  EmojiSet set;
  EmojiSources sources;
  std::pair<size_t, size_t> told;
};

TEST_F(EmojiWrite, PicturesAreSquareOnWhite) {
  write(72);
  EXPECT_EQ(told, (std::pair<size_t, size_t>{5, 5}));
  const auto box = [&](const char* file) {
    const Image image = read_image((root / file).string());
    EXPECT_EQ(image.width, 72) << file;
    EXPECT_EQ(image.height, 72) << file;
    return dark_box(image);
  };
  // 136 x 128 fills the width; 4 of 136 rows above and below are white, 2.1 of 72.
  EXPECT_EQ(box("images/noto/1F600.png"), (std::array<int, 4>{0, 2, 71, 69}));
  // 64 x 64 is put in the middle as it is.
  EXPECT_EQ(box("images/emojione/1F989.png"), (std::array<int, 4>{4, 4, 67, 67}));
  // 16 x 8 is enlarged to 64 x 32 first.
  EXPECT_EQ(box("images/noto/1F989.png"), (std::array<int, 4>{4, 20, 67, 51}));
}

TEST_F(EmojiWrite, CaptionFilesKeepTheSplitsApart) {
  write(16);
  ASSERT_EQ(lines("train.jsonl").size(), 2u);
  ASSERT_EQ(lines("val.jsonl").size(), 1u);
  ASSERT_EQ(lines("test.jsonl").size(), 2u);
  ASSERT_EQ(lines("all.jsonl").size(), 4u);
  const nlohmann::json hand = lines("test.jsonl")[0];
  EXPECT_EQ(hand["image"], "images/noto/1F44B-1F3FF.png");
  EXPECT_EQ(hand["captions"][0], "waving hand: dark skin tone");
  EXPECT_EQ(hand["captions"].size(), 3u);
  EXPECT_EQ(hand["keywords"][0], "kw one");
  EXPECT_EQ(hand["kind"], "tone");
  EXPECT_EQ(hand["split"], "test");
  EXPECT_EQ(lines("all.jsonl")[1], hand);
  EXPECT_EQ(lines("all.jsonl")[0], lines("train.jsonl")[0]);
  for (const nlohmann::json& line : lines("train.jsonl")) EXPECT_EQ(line["split"], "train");
  EXPECT_EQ(read_file((root / "text.txt").string()),
            "grinning face\na grinning face\ngrinning face: kw one, kw of grinning face\n"
            "owl\nan owl\nowl: kw one, kw of owl\n");
  const std::string readme = read_file((root / "README.txt").string());
  EXPECT_NE(readme.find("some-font 1.2-3"), std::string::npos);
  EXPECT_NE(readme.find("CC BY-SA 4.0"), std::string::npos);
}

TEST_F(EmojiWrite, ABrokenPictureStopsBeforeTheCaptionFiles) {
  set.emojione[0].png.resize(40);
  try {
    write(16);
    ADD_FAILURE() << "a cut picture was taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("made up"), std::string::npos) << error.what();
  }
  EXPECT_FALSE(fs::exists(root / "train.jsonl"));
}

TEST_F(EmojiWrite, AFolderThatCannotBeMade) {
  write_file_atomic(root.string(), "in the way");
  EXPECT_THROW(write(16), Error);
}

}  // namespace
}  // namespace mome
