// Answers of visual question answering as the field treats them: normalised, counted into a list of
// classes, and scored by how many annotators agree.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace mome {

/// The answer as VLMo's and ViLT's data scripts normalise it (vlmo/utils/glossary.py,
/// normalize_word, after the official VQA evaluation): punctuation removed (or made a space where
/// it stands between other characters and no number has a comma), periods that no digit follows
/// removed (the first 32), lower-case, number words up to ten made digits, articles removed,
/// apostrophes put into contractions, white space made single spaces. It may become empty ("the").
std::string normalize_answer(std::string_view answer);

/// Score of an answer that `annotators` >= 0 of (usually ten) gave: 0, .3, .6, .9, then 1.
float soft_score(int64_t annotators);

/// Counts strings in the order in which they first came.
class AnswerCounter {
 public:
  void add(const std::string& answer);
  /// Those that came at least min_occurrences times.
  std::vector<std::string> frequent(int64_t min_occurrences) const;
  const std::vector<std::pair<std::string, int64_t>>& counts() const { return order_; }

 private:
  std::unordered_map<std::string, size_t> index_;  // into order_
  std::vector<std::pair<std::string, int64_t>> order_;
};

/// What annotators answered, with soft_score of how many gave each.
std::vector<std::pair<std::string, float>> score_answers(const std::vector<std::string>& answers);

/// The classes of VQAv2 in the official order: normalised "multiple_choice_answer"s that occur at
/// least min_occurrences times in all files together, in the order of their first occurrence, the
/// files in the order given. (vlmo/utils/write_vqa.py: a Counter over train2014's annotations and
/// then val2014's, whose items keep the order of insertion through the filter `v >= 9`; VLMo's
/// 3,129 classes come from those two files.) Throws Error for a file that is not one of VQAv2
/// annotations and if no answer is frequent enough.
std::vector<std::string> build_answers(const std::vector<std::string>& annotation_files,
                                       int64_t min_occurrences = 9);

}  // namespace mome
