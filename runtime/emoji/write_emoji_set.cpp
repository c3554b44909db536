#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "kernels/common/parallel.h"
#include "kernels/image/resize.h"
#include "runtime/core/error.h"
#include "runtime/emoji/emoji_set.h"
#include "runtime/image/decode.h"
#include "runtime/image/png.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail("{}: the folder cannot be made: {}", path.string(), error.message());
}

Image resized(const Image& image, int width, int height, ResizeFilter filter) {
  Image out{width, height, std::vector<uint8_t>(size_t{3} * width * height)};
  resize_rgb(image.pixels.data(), image.height, image.width, int64_t{3} * image.width,
             {0, 0, static_cast<float>(image.width), static_cast<float>(image.height)}, filter,
             height, width, out.pixels.data());
  return out;
}

// On a white square of `size`. Large pictures are padded to a square and averaged down; what would
// fill less than 8/9 is enlarged to that; what lies between is only padded. So EmojiOne's 64
// pixels, which fill their square where Google's drawings leave a margin, go into 72 as they are.
Image square_on_white(const Image& image, int size) {
  const int longer = std::max(image.width, image.height), least = size * 8 / 9;
  if (longer < least)
    return square_on_white(
        resized(image, std::max(1, image.width * least / longer),
                std::max(1, image.height * least / longer), ResizeFilter::kBicubic),
        size);
  const int side = std::max(longer, size);
  Image square{side, side, std::vector<uint8_t>(size_t{3} * side * side, 255)};
  const size_t left = (side - image.width) / 2, top = (side - image.height) / 2;
  for (int y = 0; y < image.height; ++y)
    std::copy_n(image.pixels.data() + size_t{3} * y * image.width, size_t{3} * image.width,
                square.pixels.data() + 3 * ((top + y) * side + left));
  return side == size ? square : resized(square, size, size, ResizeFilter::kBox);
}

std::string json_lines(const std::vector<const EmojiPicture*>& pictures) {
  std::string out;
  for (const EmojiPicture* picture : pictures) {
    nlohmann::ordered_json line;
    line["image"] = picture->image;
    line["captions"] = picture->captions;
    line["keywords"] = picture->keywords;
    line["kind"] = to_string(picture->fate.kind);
    line["split"] = to_string(picture->fate.split);
    out += line.dump() + "\n";
  }
  return out;
}

// Stage 2's text: each training caption once, and "name: keyword, keyword" lines.
std::string training_text(const std::vector<const EmojiPicture*>& train) {
  std::string out;
  std::set<std::string> written;
  const auto add = [&](const std::string& line) {
    if (written.insert(line).second) out += line + "\n";
  };
  for (const EmojiPicture* picture : train) {
    for (const std::string& caption : picture->captions) add(caption);
    if (picture->keywords.empty()) continue;
    std::string line = picture->captions[0] + ":";
    for (size_t i = 0; i < picture->keywords.size(); ++i)
      line += (i ? ", " : " ") + picture->keywords[i];
    add(line);
  }
  return out;
}

std::string readme(const EmojiSet& set, const EmojiSources& sources, int size) {
  std::string versions;
  for (const std::string& version : sources.versions) versions += "  " + version + "\n";
  if (versions.empty()) versions = "  (not recorded)\n";
  return fmt::format(
      "Emoji by two artists, with names and keywords: made by \"mome data emoji\".\n\n"
      "images/noto/      {} pictures, {}x{}: Google's Noto Color Emoji\n"
      "images/emojione/  {} pictures: EmojiOne, as the Ruby gem gemojione ships them\n"
      "train.jsonl, val.jsonl, test.jsonl   one picture a line; val and test are Google's only\n"
      "all.jsonl         every picture by Google, whatever its split: a gallery for searches\n"
      "text.txt          captions and keywords of the training pictures, for stage 2\n\n"
      "\"kind\" says what a held-out picture asks for: a tone (this person or gesture was seen in\n"
      "other skin tones), a role (this gender in this role was never seen), a drawing (only the\n"
      "other artist's drawing was seen). Captions of held-out tones and roles are in no training\n"
      "file; a held-out drawing's are, with the other artist's drawing.\n\n"
      "Packages:\n{}\n"
      "Licences:\n"
      "  Noto Color Emoji (fonts-noto-color-emoji): SIL Open Font License 1.1; Google Inc.\n"
      "  EmojiOne pictures (ruby-gemojione): CC BY-SA 4.0; Ranks.com Inc.: whoever passes these\n"
      "    pictures on, changed or not, names EmojiOne and keeps this licence. Here they were put\n"
      "    on white and brought to one size.\n"
      "  emoji-test.txt (unicode-data): Unicode terms of use; Unicode, Inc.\n"
      "  CLDR annotations (unicode-cldr-core): Unicode-DFS-2016; Unicode, Inc.\n",
      set.noto.size(), size, size, set.emojione.size(), versions);
}

}  // namespace

void write_emoji_set(const EmojiSet& set, const EmojiSources& sources, const std::string& folder,
                     int size, const std::function<void(size_t, size_t)>& progress) {
  const fs::path root = folder;
  make_folder(root / "images/noto");
  make_folder(root / "images/emojione");
  std::vector<const EmojiPicture*> noto, all, train, val, test;
  for (const EmojiPicture& picture : set.noto) {
    noto.push_back(&picture);
    (picture.fate.split == EmojiSplit::kTrain ? train
     : picture.fate.split == EmojiSplit::kVal ? val
                                              : test)
        .push_back(&picture);
  }
  all = noto;
  for (const EmojiPicture& picture : set.emojione) {
    all.push_back(&picture);
    train.push_back(&picture);
  }

  // Batches, so that there is something to tell in between; the first error in order is kept.
  constexpr size_t kBatch = 256;
  for (size_t begin = 0; begin < all.size(); begin += kBatch) {
    const size_t count = std::min(kBatch, all.size() - begin);
    std::vector<std::string> errors(count);
    parallel_chunks(static_cast<int64_t>(count), 16, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const EmojiPicture& picture = *all[begin + i];
        try {
          write_png((root / picture.image).string(),
                    square_on_white(decode_image(picture.png, picture.source), size));
        } catch (const std::exception& error) {
          errors[i] = error.what();
        }
      }
    });
    for (const std::string& error : errors)
      if (!error.empty()) fail("{}", error);
    progress(begin + count, all.size());
  }

  write_file_atomic((root / "README.txt").string(), readme(set, sources, size));
  write_file_atomic((root / "text.txt").string(), training_text(train));
  write_file_atomic((root / "all.jsonl").string(), json_lines(noto));
  write_file_atomic((root / "test.jsonl").string(), json_lines(test));
  write_file_atomic((root / "val.jsonl").string(), json_lines(val));
  write_file_atomic((root / "train.jsonl").string(), json_lines(train));
}

}  // namespace mome
