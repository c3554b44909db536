#include "runtime/data/tasks/vqa_annotations.h"

#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/tasks/answers.h"
#include "runtime/data/tasks/json_items.h"
#include "runtime/io/atomic_file.h"

namespace mome {
using nlohmann::json;
namespace {

// Present, though it may be blank: answers may be.
std::string answer_field(const json& object, const char* name) {
  if (!object.is_object() || !object.contains(name)) fail("no \"{}\"; expected a string", name);
  return string_field(object, name);
}

VqaAnnotation parse_annotation(const json& object) {
  if (!object.is_object()) fail("it is of type {}; expected an object", object.type_name());
  VqaAnnotation out;
  out.question_id = int_field(object, "question_id");
  out.majority = answer_field(object, "multiple_choice_answer");
  out.kind = string_field(object, "answer_type");
  const auto answers = object.find("answers");
  if (answers == object.end() || !answers->is_array() || answers->empty()) {
    fail("no list \"answers\"; expected [{{\"answer\": ..}}, ..]");
  }
  for (const json& answer : *answers) out.answers.push_back(answer_field(answer, "answer"));
  return out;
}

}  // namespace

void read_vqa_annotations(const std::string& file,
                          const std::function<void(VqaAnnotation, const std::string& place)>& item,
                          const std::function<void(std::string)>& bad) {
  json root;
  const std::string text = read_file(file);
  try {
    root = parse_items(text, {"annotations"},
                       [&](const std::string& list, int64_t index, const json& object) {
                         const std::string place = fmt::format("{}: {}[{}]", file, list, index);
                         try {
                           item(parse_annotation(object), place);
                         } catch (const Error& e) {
                           bad(fmt::format("{}: {}", place, e.what()));
                         }
                       });
  } catch (const Error& e) {
    fail("{}: {}", file, e.what());
  }
  if (!root.is_object() || !root.contains("annotations") || !root["annotations"].is_array()) {
    fail("{}: no list \"annotations\"; expected VQAv2's annotations", file);
  }
}

std::vector<std::string> build_answers(const std::vector<std::string>& annotation_files,
                                       int64_t min_occurrences) {
  AnswerCounter counter;
  std::string broken;
  for (const std::string& file : annotation_files) {
    read_vqa_annotations(
        file,
        [&](const VqaAnnotation& a, const std::string&) {
          counter.add(normalize_answer(a.majority));
        },
        [&](const std::string& problem) {
          if (broken.empty()) broken = problem;
        });
    // A class list with a hole would shift every class behind it.
    if (!broken.empty()) throw Error(broken);
  }
  std::vector<std::string> classes = counter.frequent(min_occurrences);
  if (classes.empty()) {
    fail("{}: none of {} different answers occurs {} times; expected answers that recur",
         fmt::join(annotation_files, ", "), counter.counts().size(), min_occurrences);
  }
  return classes;
}

}  // namespace mome
