// VQAv2's annotations (Goyal et al., CVPR 2017): {"annotations": [{"question_id", "answers":
// [{"answer"}, ..], "multiple_choice_answer", "answer_type"}, ..]}.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mome {

/// How often a majority answer of VQAv2 must occur to become a class, by custom.
inline constexpr int64_t kVqaMinOccurrences = 9;

struct VqaAnnotation {
  int64_t question_id = 0;
  std::vector<std::string> answers;  // one an annotator, as written
  std::string majority;              // "multiple_choice_answer", as written
  std::string kind;                  // "answer_type", may be empty
};

/// Calls item(annotation, "FILE: annotations[3]") for each; one that is broken goes to bad("FILE:
/// annotations[3]: what"). Throws Error if the file cannot be read or is not one of annotations.
void read_vqa_annotations(const std::string& file,
                          const std::function<void(VqaAnnotation, const std::string& place)>& item,
                          const std::function<void(std::string)>& bad);

}  // namespace mome
