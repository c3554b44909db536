// The two text sources of the emoji set: Unicode's emoji-test.txt (UTS #51: which sequences there
// are, their names and groups) and CLDR's annotation files (UTS #35 part 2: keywords).
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/emoji/sequence.h"

namespace mome {

struct EmojiEntry {
  CodePoints sequence;  // fully qualified, U+FE0F included
  std::string name;     // "woman health worker: dark skin tone", quotes folded to ASCII
  std::string group;    // "People & Body"
};

/// The fully-qualified sequences of an emoji-test.txt, in its order. `file` is for messages.
/// Throws Error, naming the line, where a line is neither blank, a comment nor
/// "CODE POINTS ; status # EMOJI Eversion name".
std::vector<EmojiEntry> parse_emoji_test(std::string_view text, const std::string& file);

struct Annotation {
  std::string name;                   // the annotation with type="tts"; may be empty
  std::vector<std::string> keywords;  // quotes folded, in the file's order
};

/// From `cp` as CLDR spells it (UTF-8, without U+FE0F) to names and keywords.
using Annotations = std::map<std::string, Annotation>;

/// Adds the annotations of one CLDR file (annotations or annotationsDerived) to `out`.
/// Throws Error when the XML is malformed or holds no annotation.
void parse_annotations(std::string_view xml, const std::string& file, Annotations& out);

/// Turns ’ ‘ “ ” into ' and ": the sources mix the two forms.
std::string fold_quotes(std::string_view text);

}  // namespace mome
