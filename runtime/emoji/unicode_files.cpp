#include "runtime/emoji/unicode_files.h"

#include <algorithm>
#include <array>
#include <pugixml.hpp>
#include <utility>

#include "runtime/core/error.h"

namespace mome {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

std::string_view trim(std::string_view s) {
  const size_t begin = s.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return s.substr(begin, s.find_last_not_of(kSpace) - begin + 1);
}

// "😀 E1.0 grinning face" -> "grinning face"; empty when it is not of that form.
std::string_view name_of_comment(std::string_view comment) {
  const size_t emoji_end = comment.find(' ');
  if (emoji_end == std::string_view::npos || emoji_end + 1 >= comment.size()) return {};
  const std::string_view rest = comment.substr(emoji_end + 1);
  const size_t version_end = rest.find(' ');
  if (rest[0] != 'E' || version_end == std::string_view::npos) return {};
  return trim(rest.substr(version_end));
}

[[noreturn]] void bad_line(const std::string& file, size_t line, std::string_view text) {
  fail("{}: line {}: \"{}\" is not \"CODE POINTS ; status # EMOJI Eversion name\"", file, line,
       text);
}

}  // namespace

std::string fold_quotes(std::string_view text) {
  // All four curly quotes are E2 80 98, 99, 9C or 9D in UTF-8.
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "\xE2\x80" && i + 2 < text.size()) {
      const unsigned char last = static_cast<unsigned char>(text[i + 2]);
      if (last == 0x98 || last == 0x99 || last == 0x9C || last == 0x9D) {
        out.push_back(last < 0x9C ? '\'' : '"');
        i += 2;
        continue;
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

std::vector<EmojiEntry> parse_emoji_test(std::string_view text, const std::string& file) {
  constexpr std::array<std::string_view, 4> kStatus = {"component", "fully-qualified",
                                                       "minimally-qualified", "unqualified"};
  constexpr std::string_view kGroup = "# group:";
  std::vector<EmojiEntry> entries;
  std::string group;
  size_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.starts_with(kGroup)) group = trim(line.substr(kGroup.size()));
    if (line.empty() || line[0] == '#') continue;

    const size_t semicolon = line.find(';');
    const size_t hash = line.find('#', semicolon == std::string_view::npos ? 0 : semicolon);
    if (semicolon == std::string_view::npos || hash == std::string_view::npos)
      bad_line(file, number, line);
    const std::string_view status = trim(line.substr(semicolon + 1, hash - semicolon - 1));
    EmojiEntry entry;
    entry.name = fold_quotes(name_of_comment(trim(line.substr(hash + 1))));
    entry.group = group;
    if (!parse_hex(trim(line.substr(0, semicolon)), ' ', entry.sequence) || entry.name.empty() ||
        std::find(kStatus.begin(), kStatus.end(), status) == kStatus.end())
      bad_line(file, number, line);
    if (status == "fully-qualified") entries.push_back(std::move(entry));
  }
  if (entries.empty())
    fail("{}: no fully-qualified emoji; expected Unicode's emoji-test.txt", file);
  return entries;
}

void parse_annotations(std::string_view xml, const std::string& file, Annotations& out) {
  pugi::xml_document document;
  const pugi::xml_parse_result result = document.load_buffer(xml.data(), xml.size());
  if (!result)
    fail("{}: byte {}: malformed XML: {}", file, static_cast<long long>(result.offset),
         result.description());
  const pugi::xml_node root = document.child("ldml").child("annotations");
  if (!root.child("annotation"))
    fail("{}: no <annotation> in <ldml><annotations>; expected a CLDR annotation file", file);
  for (const pugi::xml_node node : root.children("annotation")) {
    const std::string_view cp = node.attribute("cp").as_string();
    if (cp.empty())
      fail("{}: byte {}: <annotation> without cp", file,
           static_cast<long long>(node.offset_debug()));
    Annotation& annotation = out[std::string(cp)];
    const std::string_view type = node.attribute("type").as_string();
    std::string_view value = node.child_value();
    if (type == "tts") {
      annotation.name = fold_quotes(trim(value));
    } else if (type.empty()) {
      while (!value.empty()) {
        const size_t end = std::min(value.find('|'), value.size());
        const std::string_view keyword = trim(value.substr(0, end));
        if (!keyword.empty()) annotation.keywords.push_back(fold_quotes(keyword));
        value.remove_prefix(std::min(end + 1, value.size()));
      }
    }
  }
}

}  // namespace mome
