// The emoji image-text set: 3,642 pictures by Google and 1,789 by EmojiOne (Debian 12's packages),
// with captions from Unicode's names and keywords from CLDR, and a split that asks for things
// never seen (runtime/emoji/split.h).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/emoji/captions.h"
#include "runtime/emoji/emoji_font.h"
#include "runtime/emoji/split.h"
#include "runtime/emoji/unicode_files.h"

namespace mome {

/// Where the packages' files lie under a root folder ("/" when the packages are installed).
struct EmojiSources {
  std::string font, emoji_test, annotations, annotations_derived;  // files
  std::string emojione;                                            // folder of PNG files
  std::vector<std::string>
      versions;  // "package version" lines of ROOT/versions.txt, if it is there
};

/// Throws Error, naming the file and the Debian package that brings it, when one is missing.
EmojiSources find_emoji_sources(const std::string& root);

/// One line of the caption files.
struct EmojiPicture {
  std::string image;  // "images/noto/1F468-200D-2695-FE0F.png", relative to the set's folder
  std::vector<std::string> captions;  // the name first
  std::vector<std::string> keywords;
  EmojiFate fate;
  std::string source;        // for messages: the file, or the font and the sequence
  std::vector<uint8_t> png;  // as the source has it: any size, transparent
};

struct EmojiSet {
  std::vector<EmojiPicture> noto;      // every picture, once: those of all three splits
  std::vector<EmojiPicture> emojione;  // only what may be trained on
  size_t same_glyph = 0;               // flags that share a picture with an earlier one, dropped
  size_t same_picture = 0;             // toned sequences whose picture shows no tone, dropped
  size_t no_glyph = 0;                 // sequences that the font does not draw, dropped
  size_t withheld = 0;                 // EmojiOne's pictures of held-out tones and roles
  size_t unnamed = 0;                  // EmojiOne's pictures that have no name of their own
};

/// Reads the sources. Throws Error on a missing or malformed file.
EmojiSet read_emoji_set(const EmojiSources& sources);

/// Writes the set: images/{noto,emojione}/CODEPOINTS.png (size x size, RGB, on white), train.jsonl,
/// val.jsonl, test.jsonl, all.jsonl (every noto picture), text.txt and README.txt. The caption
/// files come last, each written aside and renamed, so that a set that has them is whole.
/// `progress(done, total)` is called now and then. Throws Error when a file cannot be written.
void write_emoji_set(const EmojiSet& set, const EmojiSources& sources, const std::string& folder,
                     int size, const std::function<void(size_t, size_t)>& progress);

}  // namespace mome
