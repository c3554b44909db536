// The parsers of Unicode's files and of EmojiOne's file names, on made-up inputs.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "runtime/core/error.h"
#include "runtime/emoji/emoji_set.h"

namespace mome {
namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(EmojiSequence, FormsOfTheSources) {
  const CodePoints doctor = {0x1F468, 0x1F3FE, 0x200D, 0x2695, 0xFE0F};
  EXPECT_EQ(to_hex(doctor), "1F468-1F3FE-200D-2695-FE0F");
  EXPECT_EQ(to_hex(without_presentation(doctor)), "1F468-1F3FE-200D-2695");
  EXPECT_EQ(to_hex(without_joiners(doctor)), "1F468-1F3FE-2695");
  EXPECT_EQ(to_hex(without_tones(doctor)), "1F468-200D-2695");
  EXPECT_TRUE(has_skin_tone(doctor));
  EXPECT_FALSE(has_skin_tone(without_tones(doctor)));
  EXPECT_EQ(to_hex({0x23, 0xFE0F, 0x20E3}), "0023-FE0F-20E3");
}

TEST(EmojiSequence, HexadecimalOrNothing) {
  CodePoints out;
  EXPECT_TRUE(parse_hex("1f468-2695", '-', out));
  EXPECT_EQ(out, (CodePoints{0x1F468, 0x2695}));
  EXPECT_TRUE(parse_hex("0023 FE0F", ' ', out));
  EXPECT_EQ(out, (CodePoints{0x23, 0xFE0F}));
  for (const char* bad : {"", "-", "1F468-", "-1F468", "1F468--2695", "smile", "1F46G", "110000",
                          "0", "-1", "FFFFFFFFFF", "1F468 2695"})
    EXPECT_FALSE(parse_hex(bad, '-', out)) << bad;
}

TEST(EmojiSequence, Utf8OfOneToFourBytes) {
  EXPECT_EQ(to_utf8({0x23, 0xE9, 0x20E3, 0x1F468}), "#é\u20E3\U0001F468");
}

TEST(EmojiTestFile, KeepsFullyQualifiedInOrder) {
  const auto entries = parse_emoji_test(
      "# emoji-test.txt\n\n# group: People & Body\r\n# subgroup: x\n"
      "1F468 1F3FE 200D 2695 FE0F  ; fully-qualified     # 👨🏾‍⚕️ E4.0 man health "
      "worker: "
      "medium-dark skin tone\n"
      "1F468 1F3FE 200D 2695       ; minimally-qualified # 👨🏾‍⚕ E4.0 man health worker\n"
      "2695                        ; unqualified         # ⚕ E4.0 medical symbol\n"
      "1F3FB                       ; component           # 🏻 E1.0 light skin tone\n"
      "# group: Objects\n"
      "1F452 ; fully-qualified # 👒 E0.6 woman’s hat",
      "emoji-test.txt");
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(to_hex(entries[0].sequence), "1F468-1F3FE-200D-2695-FE0F");
  EXPECT_EQ(entries[0].name, "man health worker: medium-dark skin tone");
  EXPECT_EQ(entries[0].group, "People & Body");
  EXPECT_EQ(entries[1].name, "woman's hat");
  EXPECT_EQ(entries[1].group, "Objects");
}

TEST(EmojiTestFile, BadLinesAreNamed) {
  const std::string good = "1F600 ; fully-qualified # 😀 E1.0 grinning face\n";
  for (const char* bad :
       {"1F600", "1F600 ; fully-qualified", "1F6XX ; fully-qualified # 😀 E1.0 face",
        "; fully-qualified # 😀 E1.0 face", "1F600 ; fully-qualified # 😀 face",
        "1F600 ; fully-qualified # 😀 E1.0 ", "1F600 ; qualified # 😀 E1.0 face",
        "1F600 # ; fully-qualified 😀 E1.0 face", "1F600 ; fully-qualified #"}) {
    const std::string message =
        message_of([&] { parse_emoji_test(good + good + bad + "\n" + good, "some.txt"); });
    EXPECT_TRUE(has(message, "some.txt: line 3: ")) << bad << " -> " << message;
  }
  EXPECT_TRUE(has(message_of([] { parse_emoji_test("", "some.txt"); }), "some.txt: no fully"));
}

constexpr const char* kAnnotations = R"(<?xml version="1.0" encoding="UTF-8" ?>
<!DOCTYPE ldml SYSTEM "../../common/dtd/ldml.dtd">
<ldml><identity/><annotations>
  <annotation cp="👒">clothing | hat | woman’s  |  | woman’s hat</annotation>
  <annotation cp="👒" type="tts">woman’s hat</annotation>
  <annotation cp="&amp;" type="tts">ampersand</annotation>
</annotations></ldml>)";

TEST(CldrAnnotations, NamesAndKeywords) {
  Annotations out;
  parse_annotations(kAnnotations, "en.xml", out);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out.at("👒").name, "woman's hat");
  EXPECT_EQ(out.at("👒").keywords,
            (std::vector<std::string>{"clothing", "hat", "woman's", "woman's hat"}));
  EXPECT_EQ(out.at("&").name, "ampersand");
  EXPECT_TRUE(out.at("&").keywords.empty());
}

TEST(CldrAnnotations, BadXmlIsNamed) {
  Annotations out;
  const std::string xml = kAnnotations;
  EXPECT_TRUE(has(message_of([&] { parse_annotations(xml.substr(0, 250), "en.xml", out); }),
                  "en.xml: byte "));
  EXPECT_TRUE(has(message_of([&] { parse_annotations("", "en.xml", out); }), "en.xml: "));
  EXPECT_TRUE(has(message_of([&] { parse_annotations("<ldml/>", "en.xml", out); }),
                  "en.xml: no <annotation>"));
  EXPECT_TRUE(has(message_of([&] {
                    parse_annotations(
                        "<ldml><annotations><annotation>x</annotation></annotations></ldml>",
                        "en.xml", out);
                  }),
                  "without cp"));
}

TEST(EmojiQuotes, OnlyCurlyOnesAreFolded) {
  EXPECT_EQ(fold_quotes("“a” ‘b’ – é ñ \xE2\x80"), "\"a\" 'b' – é ñ \xE2\x80");
}

TEST(EmojiSources, AMissingFileIsNamedWithItsPackage) {
  const std::filesystem::path root =
      std::filesystem::path(testing::TempDir()) / "mome_emoji_sources_test";
  std::filesystem::remove_all(root);
  const auto put = [&](const char* file) {
    std::filesystem::create_directories((root / file).parent_path());
    std::ofstream(root / file) << "x";
  };
  const auto expect = [&](const char* file, const char* package) {
    const std::string message = message_of([&] { find_emoji_sources(root.string()); });
    EXPECT_TRUE(has(message, file) && has(message, package)) << message;
    put(file);
  };
  expect("usr/share/fonts/truetype/noto/NotoColorEmoji.ttf", "fonts-noto-color-emoji");
  expect("usr/share/unicode/emoji/emoji-test.txt", "unicode-data");
  expect("usr/share/unicode/cldr/common/annotations/en.xml", "unicode-cldr-core");
  expect("usr/share/unicode/cldr/common/annotationsDerived/en.xml", "unicode-cldr-core");
  expect("usr/share/rubygems-integration/all/gems", "ruby-gemojione");
  std::filesystem::remove(root / "usr/share/rubygems-integration/all/gems");
  put("usr/share/rubygems-integration/all/gems/gemojione-3.3.0/lib/x");
  expect("gemojione-3.3.0/assets/png", "ruby-gemojione");
  put("usr/share/rubygems-integration/all/gems/gemojione-3.3.0/assets/png/1F600.png");
  const EmojiSources sources = find_emoji_sources(root.string());
  EXPECT_TRUE(sources.emojione.ends_with("gemojione-3.3.0/assets/png"));
  // The font is no font.
  std::ofstream(root / "usr/share/unicode/emoji/emoji-test.txt")
      << "1F600 ; fully-qualified # 😀 E1.0 grinning face\n";
  for (const std::string& file : {sources.annotations, sources.annotations_derived})
    std::ofstream(file) << kAnnotations;
  EXPECT_TRUE(has(message_of([&] { read_emoji_set(sources); }), "NotoColorEmoji.ttf: not a font"));
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace mome
