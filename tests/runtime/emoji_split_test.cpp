// Captions and the split's promises, on a made-up list of emoji.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "runtime/emoji/captions.h"
#include "runtime/emoji/split.h"

namespace mome {
namespace {

using Captions = std::vector<std::string>;

TEST(EmojiCaptions, Rephrasings) {
  EXPECT_EQ(emoji_captions("woman health worker: medium-dark skin tone"),
            (Captions{"woman health worker: medium-dark skin tone",
                      "woman health worker with medium-dark skin",
                      "a woman health worker with medium-dark skin"}));
  EXPECT_EQ(emoji_captions("person: light skin tone, red hair").back(),
            "a person with light skin and red hair");
  EXPECT_EQ(emoji_captions("man: dark skin tone, bald").back(),
            "a man with dark skin and a bald head");
  EXPECT_EQ(emoji_captions("family: man, woman, boy").back(), "a family of man, woman and boy");
  EXPECT_EQ(emoji_captions("kiss: woman, man, light skin tone, dark skin tone")[1],
            "kiss of woman and man with light skin and dark skin");
  EXPECT_EQ(emoji_captions("people holding hands: light skin tone, dark skin tone"),
            (Captions{"people holding hands: light skin tone, dark skin tone",
                      "people holding hands with light skin and dark skin"}));
  EXPECT_EQ(emoji_captions("flag: Norway"),
            (Captions{"flag: Norway", "flag of Norway", "the flag of Norway"}));
  EXPECT_EQ(emoji_captions("keycap: 5").back(), "a keycap with 5");
  EXPECT_EQ(emoji_captions("owl"), (Captions{"owl", "an owl"}));
  EXPECT_EQ(emoji_captions("octopus").back(), "an octopus");
  EXPECT_EQ(emoji_captions("person lifting weights").back(), "a person lifting weights");
  EXPECT_EQ(emoji_captions("smiling face with heart-eyes").back(),
            "a smiling face with heart-eyes");
  EXPECT_EQ(emoji_captions("glasses"), (Captions{"glasses"}));
  EXPECT_EQ(emoji_captions("crossed fingers: light skin tone").back(),
            "crossed fingers with light skin");
  EXPECT_EQ(emoji_captions("2nd place medal"), (Captions{"2nd place medal"}));
}

const char* const kTones[5] = {"light", "medium-light", "medium", "medium-dark", "dark"};

// 40 gestures and three genders of two roles in six colours each, 200 animals, 200 symbols.
std::vector<EmojiEntry> made_up_list() {
  std::vector<EmojiEntry> list;
  const auto person = [&](CodePoints before, CodePoints after, const std::string& name) {
    for (int tone = -1; tone < 5; ++tone) {
      CodePoints sequence = before;
      if (tone >= 0) sequence.push_back(0x1F3FB + tone);
      sequence.insert(sequence.end(), after.begin(), after.end());
      list.push_back(
          {sequence, tone < 0 ? name : name + ": " + kTones[tone] + " skin tone", "People & Body"});
    }
  };
  for (uint32_t i = 0; i < 40; ++i) person({0x1F440 + i}, {}, "gesture " + std::to_string(i));
  const std::pair<uint32_t, std::string> genders[] = {
      {0x1F9D1, ""}, {0x1F468, "man "}, {0x1F469, "woman "}};
  for (const auto& [c, gender] : genders) {
    person({c}, {kJoiner, 0x2708, kEmojiPresentation}, gender + "pilot");
    person({c}, {kJoiner, 0x1F373}, gender + "cook");
  }
  for (uint32_t i = 0; i < 200; ++i)
    list.push_back({{0x1F500 + i}, "animal " + std::to_string(i), "Animals & Nature"});
  for (uint32_t i = 0; i < 200; ++i)
    list.push_back({{0x2600 + i, kEmojiPresentation}, "symbol " + std::to_string(i), "Symbols"});
  return list;
}

std::string plain_name(const EmojiEntry& entry) {
  return entry.name.substr(0, entry.name.find(':'));
}

class EmojiSplitRule : public testing::Test {
 protected:
  EmojiSplitRule() {
    // The second artist drew everything but every third.
    for (size_t i = 0; i < list.size(); ++i)
      if (i % 3 != 0) second.insert(to_hex(without_joiners(list[i].sequence)));
    fates = split_emoji(list, second);
  }
  const std::vector<EmojiEntry> list = made_up_list();
  std::set<std::string> second;
  std::vector<EmojiFate> fates;
};

TEST_F(EmojiSplitRule, EveryKindIsThereAndMostIsTrainedOn) {
  std::map<std::pair<EmojiSplit, EmojiKind>, int> counts;
  for (const EmojiFate& fate : fates) ++counts[{fate.split, fate.kind}];
  EXPECT_EQ(counts.size(), 5u);
  EXPECT_EQ((counts[{EmojiSplit::kTest, EmojiKind::kRole}]), 12);  // man pilot, cook
  EXPECT_GT((counts[{EmojiSplit::kTest, EmojiKind::kTone}]), 20);
  EXPECT_GT((counts[{EmojiSplit::kTest, EmojiKind::kDrawing}]), 10);
  EXPECT_GT((counts[{EmojiSplit::kVal, EmojiKind::kTone}]), 10);
  EXPECT_GT((counts[{EmojiSplit::kTrain, EmojiKind::kSeen}]), 450);
}

TEST_F(EmojiSplitRule, EachKindAsksWhatItSays) {
  std::map<std::string, std::set<EmojiSplit>> tones_seen;  // plain name -> splits of its tones
  for (size_t i = 0; i < list.size(); ++i)
    if (has_skin_tone(list[i].sequence)) tones_seen[plain_name(list[i])].insert(fates[i].split);
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string name = plain_name(list[i]);
    const bool held_role = name == "man pilot" || name == "cook";
    EXPECT_EQ(fates[i].kind == EmojiKind::kRole, held_role) << list[i].name;
    if (fates[i].kind == EmojiKind::kTone) {
      EXPECT_TRUE(has_skin_tone(list[i].sequence)) << list[i].name;
      EXPECT_TRUE(tones_seen[name].contains(EmojiSplit::kTrain)) << list[i].name;
    }
    if (fates[i].kind == EmojiKind::kDrawing) {
      EXPECT_EQ(list[i].group, "Animals & Nature");
      EXPECT_TRUE(second.contains(to_hex(without_joiners(list[i].sequence)))) << list[i].name;
    }
  }
}

TEST_F(EmojiSplitRule, NoHeldOutCaptionIsTrainedOn) {
  std::set<std::string> trained, held;
  for (size_t i = 0; i < list.size(); ++i) {
    const bool twin = second.contains(to_hex(without_joiners(list[i].sequence)));
    const bool drawn_by_second = twin && trains_second_artist(fates[i]);
    for (const std::string& caption : emoji_captions(list[i].name)) {
      if (fates[i].split == EmojiSplit::kTrain || drawn_by_second) trained.insert(caption);
      // A held-out drawing's name is known from the other artist: that is what the kind means.
      if (fates[i].kind == EmojiKind::kTone || fates[i].kind == EmojiKind::kRole)
        held.insert(caption);
      if (fates[i].kind == EmojiKind::kDrawing) {
        EXPECT_TRUE(trained.contains(caption)) << caption;
      }
    }
  }
  for (const std::string& caption : held) EXPECT_FALSE(trained.contains(caption)) << caption;
}

TEST_F(EmojiSplitRule, DependsOnTheEntryAlone) {
  std::vector<EmojiEntry> reversed(list.rbegin(), list.rend());
  std::vector<EmojiFate> back = split_emoji(reversed, second);
  std::reverse(back.begin(), back.end());
  for (size_t i = 0; i < list.size(); ++i) {
    EXPECT_EQ(fates[i].split, back[i].split) << list[i].name;
    EXPECT_EQ(fates[i].kind, back[i].kind) << list[i].name;
  }
}

TEST(EmojiSplit, AGestureKeepsOneToneInTraining) {
  // Alone, half of all single tones would be held out now and then; none may be.
  for (uint32_t c = 0x1F400; c < 0x1F480; ++c) {
    const std::vector<EmojiEntry> one = {{{c, 0x1F3FF}, "x: dark skin tone", "People & Body"}};
    EXPECT_EQ(split_emoji(one, {})[0].split, EmojiSplit::kTrain) << c;
  }
}

}  // namespace
}  // namespace mome
