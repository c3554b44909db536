// Plain JSON lines of every task: {"image", "text", "label"} and their kin (task_set.h).
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/json_lines.h"
#include "runtime/data/paths.h"
#include "runtime/data/tasks/answers.h"
#include "runtime/data/tasks/task_readers.h"
#include "runtime/data/trim.h"

namespace mome {
using nlohmann::json;
namespace {

// The one of `names` that the object has, or null.
const char* one_of(const json& object, std::initializer_list<const char*> names) {
  const char* found = nullptr;
  for (const char* name : names) {
    const auto it = object.find(name);
    if (it == object.end() || it->is_null()) continue;
    if (found) fail("both \"{}\" and \"{}\"; expected one of them", found, name);
    found = name;
  }
  return found;
}

// NLVR2's names of its classes.
std::string true_or_false(const std::string& label) {
  return label == "true" ? "True" : label == "false" ? "False" : label;
}

// A string, a bool or a number, as a string.
std::string scalar_field(const json& object, const char* name) {
  const json& value = object.at(name);
  if (value.is_boolean() || value.is_number()) return value.dump();
  if (!value.is_string()) {
    fail("\"{}\" is of type {}; expected a string, a bool or a number", name, value.type_name());
  }
  return string_field(object, name);
}

void parse_answers(const json& object, RawSample& sample) {
  const json& answers = object.at("answers");
  if (answers.is_array()) {
    std::vector<std::string> given = list_field(object, "answers");
    for (std::string& answer : given) answer = normalize_answer(answer);
    sample.answers = score_answers(given);
  } else if (answers.is_object()) {
    for (const auto& [answer, score] : answers.items()) {
      const double value = score.is_number() ? score.get<double>() : std::nan("");
      if (!(value > 0 && value <= 1)) {
        fail("\"answers\" gives \"{}\" the score {}; expected one in (0, 1]", answer, score.dump());
      }
      sample.answers.emplace_back(trim(answer), float(value));
    }
  } else {
    fail("\"answers\" is of type {}; expected a list of strings or {{answer: score}}",
         answers.type_name());
  }
  if (sample.answers.empty()) fail("\"answers\" is empty; expected at least one");
}

RawSample parse_line(const json& object, Task task) {
  RawSample sample;
  const auto image = object.find("image");
  if (image != object.end() && image->is_array()) {
    sample.images = list_field(object, "image");
  } else {
    const std::string name = string_field(object, "image");
    if (name.empty()) fail("no \"image\"; expected the path of an image file");
    sample.images = {name};
  }
  if (has_text(task)) {
    const char* text = one_of(object, {"text", "question", "sentence"});
    if (!text) fail("no text; expected \"text\", \"question\" or \"sentence\"");
    sample.text = string_field(object, text);
  }
  const char* label = one_of(object, {"label", "answer", "answers"});
  sample.labelled = label != nullptr;
  if (label && std::string_view(label) == "answers") {
    if (task != Task::kVqa) {
      fail("\"answers\" is for task vqa; expected one \"label\" for task {}", task_name(task));
    }
    parse_answers(object, sample);
  } else if (label) {
    const std::string value = scalar_field(object, label);
    if (value.empty()) fail("\"{}\" is blank; expected the name of a class", label);
    sample.answers = {{task == Task::kNlvr2 ? true_or_false(value) : value, 1.0f}};
  }
  if (const char* key = one_of(object, {"key", "identifier", "question_id"})) {
    sample.key = scalar_field(object, key);
  }
  sample.split = string_field(object, "split");
  sample.kind = string_field(object, "kind");
  return sample;
}

}  // namespace

void read_plain_lines(const std::string& file, const std::string& image_root, TaskCollector& out) {
  if (out.task() == Task::kNlvr2) out.set_classes({"False", "True"});  // its head has no others
  std::vector<RawSample> samples;
  read_json_lines(
      file,
      [&](const json& object, const std::string& place) {
        samples.push_back(parse_line(object, out.task()));
        samples.back().place = place;
      },
      [&](std::string problem) { out.bad(std::move(problem)); });
  add_below_root(std::move(samples), json_roots(file, image_root), out);
}

void add_below_root(std::vector<RawSample> samples, const std::vector<std::string>& roots,
                    TaskCollector& out) {
  std::vector<std::string> names;
  for (const RawSample& sample : samples) {
    names.insert(names.end(), sample.images.begin(), sample.images.end());
  }
  const std::string root = choose_root(roots, names);
  for (RawSample& sample : samples) {
    for (std::string& image : sample.images) image = join_path(root, image);
    out.add(std::move(sample));
  }
}

}  // namespace mome
