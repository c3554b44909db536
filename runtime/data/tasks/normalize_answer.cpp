// normalize_answer: the published rules, one after another. They hold for answers in UTF-8; bytes
// that are not are kept.
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/data/tasks/answers.h"
#include "runtime/text/unicode.h"

namespace mome {
namespace {

constexpr std::string_view kPunctuation = ";/[]\"{}()=+\\_-><@`,?!";

// A word that lacks exactly one apostrophe of one of these gets it. (Others, such as "we're", the
// published table does not have.)
constexpr const char* kContractions[] = {
    "ain't",       "aren't",      "can't",          "could've",     "couldn't",
    "couldn't've", "didn't",      "doesn't",        "don't",        "hadn't",
    "hadn't've",   "hasn't",      "haven't",        "he'd",         "he'd've",
    "he's",        "how'd",       "how'll",         "how's",        "isn't",
    "it'd",        "it'd've",     "it'll",          "ma'am",        "mightn't",
    "mightn't've", "might've",    "mustn't",        "must've",      "needn't",
    "not've",      "o'clock",     "oughtn't",       "'ow's'at",     "shan't",
    "she'd've",    "should've",   "shouldn't",      "shouldn't've", "somebody'd've",
    "somebody'll", "somebody's",  "someone'd",      "someone'd've", "someone'll",
    "someone's",   "something'd", "something'd've", "something'll", "that's",
    "there'd",     "there'd've",  "there're",       "there's",      "they'd",
    "they'd've",   "they'll",     "they're",        "they've",      "'twas",
    "wasn't",      "we'd've",     "we've",          "weren't",      "what'll",
    "what're",     "what's",      "what've",        "when's",       "where'd",
    "where's",     "where've",    "who'd",          "who'd've",     "who'll",
    "who's",       "who've",      "why'll",         "why're",       "why's",
    "won't",       "would've",    "wouldn't",       "wouldn't've",  "y'all",
    "y'all'll",    "y'all'd've",  "you'd",          "you'd've",     "you'll",
    "you're",      "you've"};

std::unordered_map<std::string, std::string> word_table() {
  std::unordered_map<std::string, std::string> table;
  for (const std::string full : kContractions) {
    for (size_t i = 0; i < full.size(); ++i) {
      if (full[i] == '\'') table[std::string(full).erase(i, 1)] = full;
    }
  }
  table["somebody'd"] = "somebodyd";  // the published table has this pair the other way round
  constexpr const char* kNumbers[] = {"zero", "one",   "two",   "three", "four", "five",
                                      "six",  "seven", "eight", "nine",  "ten"};
  for (int i = 0; i <= 10; ++i) table[kNumbers[i]] = std::to_string(i);
  table["none"] = table["zero"];
  for (const char* article : {"a", "an", "the"}) table[article].clear();
  return table;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool has_number_with_comma(std::string_view text) {
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] == ',' && is_digit(text[i - 1]) && is_digit(text[i + 1])) return true;
  }
  return false;
}

std::string strip_punctuation(std::string_view answer) {
  const bool number = has_number_with_comma(answer);
  bool removed[256] = {};  // the others of kPunctuation become spaces
  for (size_t i = 0; i < answer.size(); ++i) {
    const bool beside_space =
        (i > 0 && answer[i - 1] == ' ') || (i + 1 < answer.size() && answer[i + 1] == ' ');
    if (number || beside_space) removed[uint8_t(answer[i])] = true;
  }
  std::string out;
  for (const char c : answer) {
    if (kPunctuation.find(c) == std::string_view::npos) {
      out += c;
    } else if (!removed[uint8_t(c)]) {
      out += ' ';
    }
  }
  return out;
}

// The published re.sub passes re.UNICODE where the number of replacements belongs: at most 32.
std::string strip_periods(std::string_view text) {
  int left = 32;
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool digit_next = i + 1 < text.size() && is_digit(text[i + 1]);
    if (text[i] == '.' && !digit_next && left > 0) {
      --left;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Lower case, cut at white space as Python's str.split() cuts.
std::vector<std::string> lower_words(std::string_view text) {
  std::vector<std::string> words(1);
  while (!text.empty()) {
    int32_t c = 0;
    const size_t bytes = decode_utf8(text, c);
    if (bytes == 0) {
      words.back() += text[0];
      text.remove_prefix(1);
      continue;
    }
    text.remove_prefix(bytes);
    const bool space = (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 ||
                       (c >= 0x80 && char_kind(c) == CharKind::kSpace);
    if (!space) {
      append_utf8(to_lower(c), words.back());
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

}  // namespace

std::string normalize_answer(std::string_view answer) {
  static const std::unordered_map<std::string, std::string> table = word_table();
  std::string out;
  for (std::string word : lower_words(strip_periods(strip_punctuation(answer)))) {
    const auto it = table.find(word);
    if (it != table.end()) word = it->second;
    if (word.empty()) continue;  // an article
    if (!out.empty()) out += ' ';
    out += word;
  }
  return out;
}

}  // namespace mome
