// VQAv2 (questions and annotations, joined by question_id) and easy-VQA.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/paths.h"
#include "runtime/data/tasks/task_builder.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

struct Annotation {
  std::vector<std::pair<std::string, float>> answers;
  std::string majority, kind;
  bool used = false;
};

std::vector<std::pair<std::string, float>> soft_answers(const json& list, bool normalized) {
  std::vector<std::string> order;
  std::unordered_map<std::string, int> count;
  for (const json& item : list) {
    std::string answer = string_field(item, "answer");
    if (normalized) answer = normalize_answer(answer);
    if (count[answer]++ == 0) order.push_back(answer);
  }
  std::vector<std::pair<std::string, float>> out;
  for (const std::string& answer : order) out.emplace_back(answer, soft_score(count[answer]));
  return out;
}

using Annotations = std::unordered_map<int64_t, Annotation>;

void read_annotations(const json& root, const std::string& file, bool as_published,
                      Annotations& out) {
  size_t number = 0;
  for (const json& item : root.at("annotations")) {
    const std::string place = fmt::format("{}: annotations[{}]", file, number++);
    try {
      const int64_t id = int_field(item, "question_id");
      Annotation a;
      a.majority = normalize_answer(string_field(item, "multiple_choice_answer"));
      a.kind = string_field(item, "answer_type");
      if (!item.contains("answers")) fail("no \"answers\"; expected a list");
      a.answers = soft_answers(item.at("answers"), !as_published);
      if (!out.emplace(id, std::move(a)).second) fail("question_id {} is there twice", id);
    } catch (const Error& e) {
      fail("{}: {}", place, e.what());
    }
  }
}

// "train2014" -> "train"; "test-dev2015" -> "test-dev".
std::string split_of(std::string subtype) {
  while (!subtype.empty() && subtype.back() >= '0' && subtype.back() <= '9') subtype.pop_back();
  return subtype;
}

struct Question {
  int64_t id, image;
  std::string text, place;
};

void add_questions(const json& root, const std::string& file, Annotations& annotations,
                   bool annotated, TaskBuilder& out) {
  std::string subtype = string_field(root, "data_subtype");
  std::vector<Question> questions;
  size_t number = 0;
  for (const json& item : root.at("questions")) {
    const std::string place = fmt::format("{}: questions[{}]", file, number++);
    try {
      questions.push_back({int_field(item, "question_id"), int_field(item, "image_id"),
                           string_field(item, "question"), place});
    } catch (const Error& e) {
      out.bad(fmt::format("{}: {}", place, e.what()));
    }
  }
  // test-dev's pictures are test's.
  const std::string files = subtype.starts_with("test") ? "test2015" : subtype;
  const std::vector<std::string> roots = json_roots(file, out.options().image_root);
  const auto name = [&](size_t layout, size_t i) {
    const std::string& root = roots[layout / 4];
    const std::string plain = fmt::format("{:012}.jpg", questions[i].image);
    const std::string coco = fmt::format("COCO_{}_{}", files, plain);
    const std::string of_layout[] = {coco, files + "/" + coco, plain, files + "/" + plain};
    return join_path(root, of_layout[layout % 4]);
  };
  const size_t layout = choose_layout(4 * roots.size(), questions.size(), name);
  for (size_t i = 0; i < questions.size(); ++i) {
    RawSample sample;
    sample.key = std::to_string(questions[i].id);
    sample.text = questions[i].text;
    sample.split = split_of(subtype);
    sample.pictures = {name(layout, i)};
    const auto it = annotations.find(questions[i].id);
    if (it != annotations.end()) {
      it->second.used = true;
      sample.answers = it->second.answers;
      sample.majority = it->second.majority;
      sample.kind = it->second.kind;
    } else if (annotated) {
      out.bad(
          fmt::format("{}: no annotation of question_id {}", questions[i].place, questions[i].id));
      continue;
    }
    sample.labelled = it != annotations.end();
    out.add(std::move(sample), questions[i].place);
  }
}

}  // namespace

void read_vqa(const std::vector<std::string>& files, TaskBuilder& out) {
  std::vector<std::pair<std::string, json>> questions;
  Annotations annotations;
  bool annotated = false;
  for (const std::string& file : files) {
    try {
      json root = parse_json(read_file(file));
      if (root.contains("annotations")) {
        read_annotations(root, file, out.options().as_published, annotations);
        annotated = true;
      }
      if (root.contains("questions")) questions.emplace_back(file, std::move(root));
    } catch (const json::exception& e) {
      fail("{}: {}", file, json_message(e.what()));
    }
  }
  if (questions.empty())
    fail("{}: annotations without questions; expected VQAv2's questions file, too", files[0]);
  out.set_min_occurrences(9);
  for (const auto& [file, root] : questions) {
    try {
      add_questions(root, file, annotations, annotated, out);
    } catch (const json::exception& e) {
      fail("{}: {}", file, json_message(e.what()));
    }
  }
  int64_t strange = 0, first = 0;
  for (const auto& [id, annotation] : annotations)
    if (!annotation.used && (strange++ == 0 || id < first)) first = id;
  if (strange > 0)
    fail("{}: {} of {} annotations are of other questions, the first of question_id {}",
         fmt::join(files, ", "), strange, annotations.size(), first);
}

void read_easy_vqa(const std::string& file, TaskBuilder& out) {
  const json root = parse_json(read_file(file));
  const std::vector<std::string> roots = json_roots(file, out.options().image_root);
  const auto is_sample = [](const json& item) {
    return item.is_array() && item.size() == 3 && item[0].is_string() && item[1].is_string() &&
           item[2].is_number_integer();
  };
  const auto name = [&](size_t layout, size_t i) {
    return join_path(roots[layout], fmt::format("{}.png", root[i][2].get<int64_t>()));
  };
  if (!root.empty() && !is_sample(root[0]))
    fail("expected easy-VQA's list of [question, answer, image number]");
  const size_t layout = choose_layout(roots.size(), std::min<size_t>(root.size(), 1), name);
  for (size_t i = 0; i < root.size(); ++i) {
    const std::string place = fmt::format("{}: [{}]", file, i);
    if (!is_sample(root[i])) {
      out.bad(place + ": expected [question, answer, image number]");
      continue;
    }
    RawSample sample;
    sample.text = root[i][0];
    sample.answers = {{root[i][1], 1.0F}};
    sample.labelled = true;
    sample.pictures = {name(layout, i)};
    out.add(std::move(sample), place);
  }
}

}  // namespace mome
