#include "runtime/data/tasks/answers.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace {

// The evaluation's list, "without apostrophe:with"; entries with capitals never match lower-cased
// words and are left out.
constexpr std::string_view kContractions[] = {"aint:ain't",
                                              "arent:aren't",
                                              "cant:can't",
                                              "couldve:could've",
                                              "couldnt:couldn't",
                                              "couldn'tve:couldn't've",
                                              "couldnt've:couldn't've",
                                              "didnt:didn't",
                                              "doesnt:doesn't",
                                              "dont:don't",
                                              "hadnt:hadn't",
                                              "hadnt've:hadn't've",
                                              "hadn'tve:hadn't've",
                                              "hasnt:hasn't",
                                              "havent:haven't",
                                              "hed:he'd",
                                              "hed've:he'd've",
                                              "he'dve:he'd've",
                                              "hes:he's",
                                              "howd:how'd",
                                              "howll:how'll",
                                              "hows:how's",
                                              "isnt:isn't",
                                              "itd:it'd",
                                              "itd've:it'd've",
                                              "it'dve:it'd've",
                                              "itll:it'll",
                                              "let's:let's",
                                              "maam:ma'am",
                                              "mightnt:mightn't",
                                              "mightnt've:mightn't've",
                                              "mightn'tve:mightn't've",
                                              "mightve:might've",
                                              "mustnt:mustn't",
                                              "mustve:must've",
                                              "neednt:needn't",
                                              "notve:not've",
                                              "oclock:o'clock",
                                              "oughtnt:oughtn't",
                                              "ow's'at:'ow's'at",
                                              "'ows'at:'ow's'at",
                                              "'ow'sat:'ow's'at",
                                              "shant:shan't",
                                              "shed've:she'd've",
                                              "she'dve:she'd've",
                                              "she's:she's",
                                              "shouldve:should've",
                                              "shouldnt:shouldn't",
                                              "shouldnt've:shouldn't've",
                                              "shouldn'tve:shouldn't've",
                                              "somebody'd:somebodyd",
                                              "somebodyd've:somebody'd've",
                                              "somebody'dve:somebody'd've",
                                              "somebodyll:somebody'll",
                                              "somebodys:somebody's",
                                              "someoned:someone'd",
                                              "someoned've:someone'd've",
                                              "someone'dve:someone'd've",
                                              "someonell:someone'll",
                                              "someones:someone's",
                                              "somethingd:something'd",
                                              "somethingd've:something'd've",
                                              "something'dve:something'd've",
                                              "somethingll:something'll",
                                              "thats:that's",
                                              "thered:there'd",
                                              "thered've:there'd've",
                                              "there'dve:there'd've",
                                              "therere:there're",
                                              "theres:there's",
                                              "theyd:they'd",
                                              "theyd've:they'd've",
                                              "they'dve:they'd've",
                                              "theyll:they'll",
                                              "theyre:they're",
                                              "theyve:they've",
                                              "twas:'twas",
                                              "wasnt:wasn't",
                                              "wed've:we'd've",
                                              "we'dve:we'd've",
                                              "weve:we've",
                                              "werent:weren't",
                                              "whatll:what'll",
                                              "whatre:what're",
                                              "whats:what's",
                                              "whatve:what've",
                                              "whens:when's",
                                              "whered:where'd",
                                              "wheres:where's",
                                              "whereve:where've",
                                              "whod:who'd",
                                              "whod've:who'd've",
                                              "who'dve:who'd've",
                                              "wholl:who'll",
                                              "whos:who's",
                                              "whove:who've",
                                              "whyll:why'll",
                                              "whyre:why're",
                                              "whys:why's",
                                              "wont:won't",
                                              "wouldve:would've",
                                              "wouldnt:wouldn't",
                                              "wouldnt've:wouldn't've",
                                              "wouldn'tve:wouldn't've",
                                              "yall:y'all",
                                              "yall'll:y'all'll",
                                              "y'allll:y'all'll",
                                              "yall'd've:y'all'd've",
                                              "y'alld've:y'all'd've",
                                              "y'all'dve:y'all'd've",
                                              "youd:you'd",
                                              "youd've:you'd've",
                                              "you'dve:you'd've",
                                              "youll:you'll",
                                              "youre:you're",
                                              "youve:you've"};
constexpr std::array<std::string_view, 12> kNumbers = {
    "none", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"};

bool digit(char c) { return c >= '0' && c <= '9'; }

bool has_number_comma(std::string_view text) {
  for (size_t i = 1; i + 1 < text.size(); ++i)
    if (text[i] == ',' && digit(text[i - 1]) && digit(text[i + 1])) return true;
  return false;
}

std::string without_punctuation(std::string_view text) {
  const bool number = has_number_comma(text);
  std::string out(text);
  for (const char p : std::string_view(";/[]\"{}()=+\\_-><@`,?!")) {
    const std::string before{p, ' '}, after{' ', p};
    const bool removed = number || text.find(before) != std::string_view::npos ||
                         text.find(after) != std::string_view::npos;
    if (removed)
      std::erase(out, p);
    else
      std::replace(out.begin(), out.end(), p, ' ');
  }
  std::string kept;
  for (size_t i = 0; i < out.size(); ++i)
    if (out[i] != '.' || (i + 1 < out.size() && digit(out[i + 1]))) kept += out[i];
  return kept;
}

std::string normalize_word(std::string word) {
  const auto number = std::find(kNumbers.begin(), kNumbers.end(), word);
  if (number != kNumbers.end())
    word = std::to_string(std::max<std::ptrdiff_t>(number - kNumbers.begin() - 1, 0));
  for (const std::string_view entry : kContractions) {
    const size_t colon = entry.find(':');
    if (entry.substr(0, colon) == word) return std::string(entry.substr(colon + 1));
  }
  return word;
}

}  // namespace

std::string normalize_answer(std::string_view answer) {
  std::string text = without_punctuation(answer);
  for (char& c : text) c = char(std::tolower(static_cast<unsigned char>(c)));
  std::istringstream words(text);
  std::string out;
  for (std::string word; words >> word;) {
    if (word == "a" || word == "an" || word == "the") continue;
    if (!out.empty()) out += ' ';
    out += normalize_word(word);
  }
  std::erase(out, ',');
  return out;
}

float soft_score(int annotators) {
  constexpr float kScores[] = {0, 0.3F, 0.6F, 0.9F, 1};
  return kScores[std::clamp(annotators, 0, 4)];
}

void AnswerCounter::add(const std::string& answer) {
  const auto [it, fresh] = index_.emplace(answer, order_.size());
  if (fresh) order_.emplace_back(answer, 0);
  ++order_[it->second].second;
}

std::vector<std::string> AnswerCounter::frequent(int64_t min_occurrences) const {
  std::vector<std::string> out;
  for (const auto& [answer, count] : order_)
    if (count >= min_occurrences) out.push_back(answer);
  return out;
}

std::vector<std::string> build_answers(const std::vector<std::string>& annotation_files,
                                       int64_t min_occurrences) {
  AnswerCounter counter;
  for (const std::string& file : annotation_files) {
    try {
      const nlohmann::json root = parse_json(read_file(file), {"answers"});
      if (!root.is_object() || !root.contains("annotations"))
        fail("no \"annotations\"; expected VQAv2's {{\"annotations\": [..]}}");
      size_t number = 0;
      for (const auto& annotation : root.at("annotations")) {
        const std::string answer = string_field(annotation, "multiple_choice_answer");
        if (answer.empty()) fail("annotations[{}]: no \"multiple_choice_answer\"", number);
        counter.add(normalize_answer(answer));
        ++number;
      }
    } catch (const nlohmann::json::exception& e) {
      fail("{}: {}", file, json_message(e.what()));
    } catch (const Error& e) {
      fail("{}: {}", file, e.what());
    }
  }
  std::vector<std::string> answers = counter.frequent(min_occurrences);
  if (answers.empty())
    fail("{}: no answer is the majority's {} times or more", fmt::join(annotation_files, ", "),
         min_occurrences);
  return answers;
}

}  // namespace mome
