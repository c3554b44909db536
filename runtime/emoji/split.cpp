#include "runtime/emoji/split.h"

#include <algorithm>
#include <array>
#include <map>

#include "runtime/data/hash.h"

namespace mome {
namespace {

// Jobs, gestures, sports and fantasy; neutral, man and woman. The other two genders of each are
// trained on. Ten of them come in six colours (yellow and five tones), the zombie in one.
constexpr std::array<std::string_view, 11> kHeldOutRoles = {
    "man pilot",         "man singer",      "cook",        "person running",
    "woman firefighter", "man judge",       "woman elf",   "man shrugging",
    "woman swimming",    "person juggling", "woman zombie"};

constexpr std::array<std::string_view, 4> kDrawingGroups = {"Animals & Nature", "Food & Drink",
                                                            "Objects", "Flags"};

template <class Array>
bool contains(const Array& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

uint64_t hash_of(const EmojiEntry& entry) { return hash64("1559418:" + to_hex(entry.sequence)); }

EmojiFate fate_of(const EmojiEntry& entry, const std::set<std::string>& second_artist) {
  const uint64_t hash = hash_of(entry);
  const std::string_view name = entry.name;
  if (contains(kHeldOutRoles, name.substr(0, name.find(": "))))
    return {EmojiSplit::kTest, EmojiKind::kRole};
  if (has_skin_tone(entry.sequence)) {
    if (hash % 5 == 0) return {EmojiSplit::kTest, EmojiKind::kTone};
    if (hash / 5 % 7 == 0) return {EmojiSplit::kVal, EmojiKind::kTone};
  } else if (contains(kDrawingGroups, entry.group) && hash % 5 == 0 &&
             second_artist.contains(to_hex(without_joiners(entry.sequence)))) {
    return {EmojiSplit::kTest, EmojiKind::kDrawing};
  }
  return {};
}

}  // namespace

const char* to_string(EmojiSplit split) {
  return split == EmojiSplit::kTrain ? "train" : split == EmojiSplit::kVal ? "val" : "test";
}

const char* to_string(EmojiKind kind) {
  switch (kind) {
    case EmojiKind::kTone:
      return "tone";
    case EmojiKind::kRole:
      return "role";
    case EmojiKind::kDrawing:
      return "drawing";
    default:
      return "seen";
  }
}

std::vector<EmojiFate> split_emoji(const std::vector<EmojiEntry>& entries,
                                   const std::set<std::string>& second_artist) {
  std::vector<EmojiFate> fates;
  std::map<CodePoints, std::vector<size_t>> toned;  // by the sequence without its tones
  for (size_t i = 0; i < entries.size(); ++i) {
    fates.push_back(fate_of(entries[i], second_artist));
    if (has_skin_tone(entries[i].sequence) && fates[i].kind != EmojiKind::kRole)
      toned[without_tones(entries[i].sequence)].push_back(i);
  }
  for (const auto& [base, members] : toned) {
    if (std::any_of(members.begin(), members.end(),
                    [&](size_t i) { return fates[i].split == EmojiSplit::kTrain; }))
      continue;
    fates[*std::max_element(members.begin(), members.end(), [&](size_t a, size_t b) {
      return hash_of(entries[a]) < hash_of(entries[b]);
    })] = {};
  }
  return fates;
}

}  // namespace mome
