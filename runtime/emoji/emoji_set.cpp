#include "runtime/emoji/emoji_set.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace {

namespace fs = std::filesystem;

std::string existing(const fs::path& path, const char* package) {
  if (!fs::exists(path))
    fail(
        "{}: missing; it is part of the Debian package {} (install it, or fetch all four with "
        "\"tools/setup.sh data DIR\" and give --packages DIR)",
        path.string(), package);
  return path.string();
}

// EmojiOne's files by to_hex(without_joiners(sequence)), from code points joined by '-'.
std::map<std::string, std::string> list_emojione(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& item : fs::directory_iterator(folder)) {
    CodePoints sequence;
    if (item.path().extension() == ".png" && parse_hex(item.path().stem().string(), '-', sequence))
      files[to_hex(without_joiners(sequence))] = item.path().string();
  }
  if (files.empty())
    fail("{}: no CODEPOINTS.png in it; expected the pictures of ruby-gemojione", folder);
  return files;
}

EmojiPicture make_picture(const char* artist, const CodePoints& sequence, const std::string& name,
                          const Annotations& annotations) {
  EmojiPicture picture;
  picture.image = std::string("images/") + artist + "/" + to_hex(sequence) + ".png";
  picture.captions = emoji_captions(name);
  const auto found = annotations.find(to_utf8(without_presentation(sequence)));
  if (found != annotations.end())
    for (const std::string& keyword : found->second.keywords)
      if (keyword != name) picture.keywords.push_back(keyword);
  return picture;
}

std::vector<uint8_t> read_bytes(const std::string& file) {
  const std::string text = read_file(file);
  return {text.begin(), text.end()};
}

}  // namespace

EmojiSources find_emoji_sources(const std::string& root) {
  const fs::path share = fs::path(root) / "usr/share";
  EmojiSources sources;
  sources.font =
      existing(share / "fonts/truetype/noto/NotoColorEmoji.ttf", "fonts-noto-color-emoji");
  sources.emoji_test = existing(share / "unicode/emoji/emoji-test.txt", "unicode-data");
  const fs::path cldr = share / "unicode/cldr/common";
  sources.annotations = existing(cldr / "annotations/en.xml", "unicode-cldr-core");
  sources.annotations_derived = existing(cldr / "annotationsDerived/en.xml", "unicode-cldr-core");

  const fs::path gems = existing(share / "rubygems-integration/all/gems", "ruby-gemojione");
  std::set<std::string> folders;  // gemojione-VERSION; there is one, unless a user put more there
  for (const auto& item : fs::directory_iterator(gems))
    if (item.path().filename().string().starts_with("gemojione-"))
      folders.insert(existing(item.path() / "assets/png", "ruby-gemojione"));
  if (folders.empty()) existing(gems / "gemojione-VERSION/assets/png", "ruby-gemojione");
  sources.emojione = *folders.rbegin();

  std::ifstream versions(fs::path(root) / "versions.txt");
  for (std::string line; std::getline(versions, line);) sources.versions.push_back(line);
  return sources;
}

EmojiSet read_emoji_set(const EmojiSources& sources) {
  const std::vector<EmojiEntry> listed =
      parse_emoji_test(read_file(sources.emoji_test), sources.emoji_test);
  Annotations annotations;
  for (const std::string& file : {sources.annotations, sources.annotations_derived})
    parse_annotations(read_file(file), file, annotations);
  std::map<std::string, std::string> second = list_emojione(sources.emojione);
  const EmojiFont font(sources.font);

  EmojiSet set;
  // Google's drawings: one entry a picture. A toned sequence follows its plain one in the list.
  std::vector<EmojiEntry> entries;
  std::vector<std::vector<uint8_t>> pngs;
  std::set<uint32_t> glyphs;
  std::map<CodePoints, std::vector<uint8_t>> plain;
  for (const EmojiEntry& entry : listed) {
    const uint32_t glyph = font.glyph(entry.sequence);
    std::vector<uint8_t> png = glyph ? font.png(glyph) : std::vector<uint8_t>();
    if (png.empty()) {
      ++set.no_glyph;
      continue;
    }
    if (!glyphs.insert(glyph).second) {
      ++set.same_glyph;
      continue;
    }
    const auto first = plain.try_emplace(without_tones(entry.sequence), png);
    if (!first.second && first.first->second == png) {
      ++set.same_picture;
      continue;
    }
    entries.push_back(entry);
    pngs.push_back(std::move(png));
  }

  std::set<std::string> second_artist;
  for (const auto& [key, file] : second) second_artist.insert(key);
  const std::vector<EmojiFate> fates = split_emoji(entries, second_artist);
  std::map<std::string, EmojiFate> fate_of;
  for (size_t i = 0; i < entries.size(); ++i) {
    const CodePoints& sequence = entries[i].sequence;
    EmojiPicture picture = make_picture("noto", sequence, entries[i].name, annotations);
    picture.fate = fates[i];
    picture.source = sources.font + ": " + to_hex(sequence);
    picture.png = std::move(pngs[i]);
    set.noto.push_back(std::move(picture));
    fate_of[to_hex(without_joiners(sequence))] = fates[i];
  }

  // EmojiOne's, in the same order: those of listed sequences, then those that only CLDR names.
  const auto take = [&](const std::string& key, const CodePoints& sequence,
                        const std::string& name) {
    const auto fate = fate_of.find(key);
    if (fate != fate_of.end() && !trains_second_artist(fate->second)) {
      ++set.withheld;
    } else {
      EmojiPicture picture = make_picture("emojione", sequence, name, annotations);
      picture.source = second.at(key);
      picture.png = read_bytes(picture.source);
      set.emojione.push_back(std::move(picture));
    }
    second.erase(key);
  };
  for (const EmojiEntry& entry : listed) {
    const std::string key = to_hex(without_joiners(entry.sequence));
    if (second.contains(key)) take(key, entry.sequence, entry.name);
  }
  for (const auto& [key, file] : std::map<std::string, std::string>(second)) {
    CodePoints sequence;
    parse_hex(key, '-', sequence);
    const auto named = annotations.find(to_utf8(sequence));
    if (named != annotations.end() && !named->second.name.empty())
      take(key, sequence, named->second.name);
  }
  set.unnamed = second.size();
  return set;
}

}  // namespace mome
