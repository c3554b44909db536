// VQAv2 (Goyal et al., CVPR 2017): questions [{"question_id", "image_id", "question"}] and their
// annotations, joined by question_id. "data_subtype" ("train2014") says which COCO images they ask
// about.
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/paths.h"
#include "runtime/data/tasks/answers.h"
#include "runtime/data/tasks/json_items.h"
#include "runtime/data/tasks/task_readers.h"
#include "runtime/data/tasks/vqa_annotations.h"
#include "runtime/io/atomic_file.h"

namespace mome {
using nlohmann::json;
namespace {

class VqaJoin {
 public:
  VqaJoin(const std::string& image_root, TaskCollector& out) : image_root_(image_root), out_(out) {}

  void read_questions(const std::string& file);
  void read_annotations(const std::string& file);
  void finish(const std::string& question_files, const std::string& annotation_files);

 private:
  void add_question(const json& object, const std::string& place);
  void name_images(const std::string& file, size_t first, const std::string& subtype);

  const std::string& image_root_;
  TaskCollector& out_;
  std::vector<RawSample> samples_;
  std::vector<int64_t> image_ids_;             // of samples_
  std::unordered_map<int64_t, size_t> by_id_;  // question_id -> samples_
  std::unordered_map<std::string, std::string> normalized_;
  int64_t strangers_ = 0;  // annotations of no question
  std::string first_stranger_;
};

void VqaJoin::add_question(const json& object, const std::string& place) {
  if (!object.is_object()) fail("it is of type {}; expected an object", object.type_name());
  RawSample sample;
  const int64_t id = int_field(object, "question_id");
  const int64_t image = int_field(object, "image_id");
  sample.key = std::to_string(id);
  sample.text = string_field(object, "question");
  if (sample.text.empty()) fail("no \"question\"; expected a string that is not blank");
  sample.place = place;
  if (!by_id_.emplace(id, samples_.size()).second) fail("question_id {} was there before", id);
  samples_.push_back(std::move(sample));
  image_ids_.push_back(image);
}

// COCO_train2014_000000000009.jpg or 000000000009.jpg, in the root or in its folder train2014.
void VqaJoin::name_images(const std::string& file, size_t first, const std::string& subtype) {
  std::vector<std::string> sets = {"train2014", "val2014", "test2015"};
  if (!subtype.empty()) sets = {subtype == "test-dev2015" ? "test2015" : subtype};
  std::vector<std::string> starts;  // what comes before the number
  for (const std::string& root : json_roots(file, image_root_)) {
    for (const std::string& set : sets) {
      starts.push_back(join_path(root, "COCO_" + set + "_"));
      starts.push_back(join_path(root, set + "/COCO_" + set + "_"));
      starts.push_back(join_path(root, set + "/"));
    }
    starts.push_back(root.empty() ? "" : join_path(root, ""));
  }
  const auto name = [&](size_t start, size_t i) {
    return fmt::format("{}{:012}.jpg", starts[start], image_ids_[first + i]);
  };
  const size_t start = choose_layout(starts.size(), samples_.size() - first, name);
  for (size_t i = first; i < samples_.size(); ++i) samples_[i].images = {name(start, i - first)};
}

void VqaJoin::read_questions(const std::string& file) {
  const size_t first = samples_.size();
  json root;
  const std::string text = read_file(file);
  try {
    root = parse_items(text, {"questions"},
                       [&](const std::string& list, int64_t index, const json& object) {
                         const std::string place = fmt::format("{}: {}[{}]", file, list, index);
                         try {
                           add_question(object, place);
                         } catch (const Error& e) {
                           out_.bad(fmt::format("{}: {}", place, e.what()));
                         }
                       });
    if (!root["questions"].is_array()) fail("\"questions\" is no list; expected VQAv2's questions");
    const std::string subtype = string_field(root, "data_subtype");
    // "train2014" without its year
    const std::string split = subtype.substr(0, subtype.find_last_not_of("0123456789") + 1);
    for (size_t i = first; i < samples_.size(); ++i) samples_[i].split = split;
    name_images(file, first, subtype);
  } catch (const Error& e) {
    fail("{}: {}", file, e.what());
  }
}

void VqaJoin::read_annotations(const std::string& file) {
  const auto normalized = [&](const std::string& answer) -> const std::string& {
    const auto [it, is_new] = normalized_.emplace(answer, "");
    if (is_new) it->second = normalize_answer(answer);
    return it->second;
  };
  read_vqa_annotations(
      file,
      [&](VqaAnnotation annotation, const std::string& place) {
        out_.count_answer(normalized(annotation.majority), kVqaMinOccurrences);
        const auto it = by_id_.find(annotation.question_id);
        if (it == by_id_.end()) {
          if (strangers_++ == 0) {
            first_stranger_ = fmt::format("question_id {} ({})", annotation.question_id, place);
          }
          return;
        }
        RawSample& sample = samples_[it->second];
        if (sample.labelled) {
          fail("question_id {} was annotated before", annotation.question_id);
        }
        if (!out_.options().as_published) {
          for (std::string& answer : annotation.answers) answer = normalized(answer);
        }
        sample.answers = score_answers(annotation.answers);
        sample.kind = std::move(annotation.kind);
        sample.labelled = true;
      },
      [&](std::string problem) { out_.bad(std::move(problem)); });
}

void VqaJoin::finish(const std::string& question_files, const std::string& annotation_files) {
  if (strangers_ > 0) {
    out_.bad(fmt::format("{}: {} annotations are of no question in {}, the first of {}; expected "
                         "the annotations of these questions",
                         annotation_files, strangers_, question_files, first_stranger_),
             strangers_);
  }
  int64_t bare = 0;
  std::string first_bare;
  for (RawSample& sample : samples_) {
    if (out_.options().labels_needed && !sample.labelled && out_.wants(sample.split)) {
      if (bare++ == 0) first_bare = fmt::format("question_id {} ({})", sample.key, sample.place);
      continue;
    }
    out_.add(std::move(sample));
  }
  if (bare > 0) {
    out_.bad(fmt::format("{}: {} questions have no annotation in {}, the first is {}",
                         question_files, bare, annotation_files, first_bare),
             bare);
  }
}

}  // namespace

void read_vqa(const std::vector<std::string>& question_files,
              const std::vector<std::string>& annotation_files, const std::string& image_root,
              TaskCollector& out) {
  if (question_files.empty()) {
    fail(
        "{}: annotations without questions; expected VQAv2's {{\"questions\": [..]}} file beside "
        "it",
        annotation_files.front());
  }
  if (annotation_files.empty() && out.options().labels_needed) {
    fail(
        "{}: questions without annotations; expected VQAv2's {{\"annotations\": [..]}} file "
        "beside it",
        question_files.front());
  }
  VqaJoin join(image_root, out);
  for (const std::string& file : question_files) join.read_questions(file);
  for (const std::string& file : annotation_files) join.read_annotations(file);
  join.finish(fmt::format("{}", fmt::join(question_files, ", ")),
              fmt::format("{}", fmt::join(annotation_files, ", ")));
}

}  // namespace mome
