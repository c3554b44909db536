// JSON lines of the tasks: NLVR2's, SNLI-VE's, and plain ones.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/json_lines.h"
#include "runtime/data/paths.h"
#include "runtime/data/tasks/task_builder.h"

namespace mome {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

std::string label_text(const json& value, const char* name) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_number()) return value.dump();
  fail("\"{}\" is of type {}; expected a string, a bool or a number", name, value.type_name());
}

std::string scalar_field(const json& object, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (object.contains(name)) return label_text(object.at(name), name);
  return {};
}

// A list of annotators' answers, or scores by answer.
std::vector<std::pair<std::string, float>> soft_answers(const json& value, std::string& majority) {
  std::vector<std::pair<std::string, float>> out;
  if (value.is_object()) {
    for (const auto& [answer, score] : value.items()) {
      if (!score.is_number() || !(score.get<double>() > 0) || score.get<double>() > 1)
        fail("\"answers\": the score of \"{}\" is {}; expected above 0 to 1", answer,
             score.dump(-1, ' ', true, json::error_handler_t::replace));
      out.emplace_back(answer, score.get<float>());
    }
    return out;
  }
  if (!value.is_array())
    fail("\"answers\" is of type {}; expected a list or an object", value.type_name());
  std::unordered_map<std::string, int> count;
  int most = 0;
  for (const json& item : value) {
    const std::string answer = normalize_answer(label_text(item, "answers"));
    if (count[answer]++ == 0) out.emplace_back(answer, 0.0F);
    if (count[answer] > most) most = count[answer], majority = answer;
  }
  for (auto& [answer, score] : out) score = soft_score(count[answer]);
  return out;
}

std::string true_false(const std::string& label) {
  if (label == "true" || label == "True") return "True";
  if (label == "false" || label == "False") return "False";
  return label;
}

class Lines {
 public:
  Lines(const std::string& file, TaskBuilder& out)
      : out_(out), roots_(json_roots(file, out.options().image_root)) {}

  void read(const json& line, const std::string& place) {
    RawSample sample = line.contains("Flickr30K_ID")                            ? snli_ve(line)
                       : line.contains("identifier") && !line.contains("image") ? nlvr2(line)
                                                                                : plain(line);
    if (out_.task() == Task::kNlvr2)
      for (auto& answer : sample.answers) answer.first = true_false(answer.first);
    out_.add(std::move(sample), place);
  }

 private:
  void expect(Task task, const char* format) const {
    if (out_.task() != task)
      fail(
          "a line of {}; task {} expects its own format or plain lines {{\"image\", \"text\", "
          "\"label\"}}",
          format, task_name(out_.task()));
  }
  // Whichever of the places has it; the first if none does.
  std::string find(const std::vector<std::string>& names) const {
    for (const std::string& root : roots_)
      for (const std::string& name : names) {
        std::error_code ignored;
        if (fs::is_regular_file(join_path(root, name), ignored)) return join_path(root, name);
      }
    return join_path(roots_[0], names[0]);
  }

  RawSample snli_ve(const json& line) const {
    expect(Task::kEntailment, "SNLI-VE");
    RawSample s;
    s.key = scalar_field(line, {"pairID"});
    s.text = string_field(line, "sentence2");
    std::string id = label_text(line.at("Flickr30K_ID"), "Flickr30K_ID");
    if (!id.ends_with(".jpg")) id += ".jpg";
    s.pictures = {find({id})};
    const std::string label = string_field(line, "gold_label");
    s.labelled = !label.empty() && label != "-";  // "-": the annotators did not agree
    if (s.labelled) s.answers = {{label, 1.0F}};
    return s;
  }

  RawSample nlvr2(const json& line) const {
    expect(Task::kNlvr2, "NLVR2");
    RawSample s;
    s.key = string_field(line, "identifier");
    s.text = string_field(line, "sentence");
    const size_t last = s.key.rfind('-');
    if (last == std::string::npos)
      fail("identifier \"{}\"; expected SPLIT-SET-PAIR-SENTENCE", s.key);
    s.split = s.key.substr(0, s.key.find('-'));
    const std::string stem = s.key.substr(0, last);
    const std::string directory =
        line.contains("directory") ? label_text(line.at("directory"), "directory") : "";
    for (const char* side : {"-img0.png", "-img1.png"}) {
      const std::string name = stem + side;
      std::vector<std::string> places = {name, s.split + "/" + name};
      if (!directory.empty()) places.push_back(fmt::format("images/train/{}/{}", directory, name));
      s.pictures.push_back(find(places));
    }
    const std::string label = scalar_field(line, {"label"});
    s.labelled = !label.empty();
    if (s.labelled) s.answers = {{label, 1.0F}};
    return s;
  }

  RawSample plain(const json& line) const {
    RawSample s;
    s.key = scalar_field(line, {"key", "identifier", "question_id"});
    s.split = string_field(line, "split");
    s.kind = string_field(line, "kind");
    for (const char* name : {"text", "question", "sentence"})
      if (s.text.empty()) s.text = string_field(line, name);
    if (!line.contains("image")) fail("no \"image\"; expected the path of an image file");
    if (line.at("image").is_array()) {
      for (const std::string& path : list_field(line, "image")) s.pictures.push_back(find({path}));
    } else {
      s.pictures = {find({string_field(line, "image")})};
    }
    const std::string label = scalar_field(line, {"label", "answer"});
    if (!label.empty()) s.answers = {{label, 1.0F}};
    if (line.contains("answers")) {
      if (out_.task() != Task::kVqa) fail("\"answers\" is for task vqa; expected \"label\"");
      s.answers = soft_answers(line.at("answers"), s.majority);
    }
    s.labelled = !s.answers.empty();
    return s;
  }

  TaskBuilder& out_;
  const std::vector<std::string> roots_;
};

}  // namespace

void read_task_lines(const std::string& file, TaskBuilder& out) {
  if (out.task() == Task::kNlvr2) out.propose({"False", "True"});
  if (out.task() == Task::kEntailment) out.propose({"contradiction", "entailment", "neutral"});
  Lines lines(file, out);
  read_json_lines(
      file, [&](const json& line, const std::string& place) { lines.read(line, place); },
      [&](std::string problem) { out.bad(std::move(problem)); });
}

}  // namespace mome
