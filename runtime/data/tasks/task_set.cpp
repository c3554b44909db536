#include "runtime/data/tasks/task_set.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/core/error.h"
#include "runtime/data/tasks/json_items.h"
#include "runtime/data/tasks/task_readers.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace fs = std::filesystem;
namespace {

enum class Format { kClassFolder, kQuestions, kAnnotations, kEasyVqa, kNlvr2, kSnliVe, kPlain };

// How people are told of a format; the task it belongs to, or null for every one.
const char* format_name(Format format) {
  switch (format) {
    case Format::kClassFolder:
      return "a folder of class folders";
    case Format::kQuestions:
      return "VQAv2's questions";
    case Format::kAnnotations:
      return "VQAv2's annotations";
    case Format::kEasyVqa:
      return "a list like easy-VQA's";
    case Format::kNlvr2:
      return "NLVR2's JSON lines";
    case Format::kSnliVe:
      return "SNLI-VE's JSON lines";
    default:
      return "plain JSON lines";
  }
}

bool fits(Format format, Task task) {
  switch (format) {
    case Format::kClassFolder:
      return task == Task::kImageClassification;
    case Format::kQuestions:
    case Format::kAnnotations:
    case Format::kEasyVqa:
      return task == Task::kVqa;
    case Format::kNlvr2:
      return task == Task::kNlvr2;
    case Format::kSnliVe:
      return task == Task::kEntailment;
    default:
      return true;
  }
}

std::string expected(Task task) {
  switch (task) {
    case Task::kVqa:
      return "VQAv2's questions and annotations, easy-VQA's list of [question, answer, image "
             "number], or lines {\"image\", \"question\", \"answer\"}";
    case Task::kNlvr2:
      return "lines {\"sentence\", \"label\", \"identifier\"} or {\"image\": [.., ..], "
             "\"sentence\", \"label\"}";
    case Task::kEntailment:
      return "lines {\"gold_label\", \"sentence2\", \"Flickr30K_ID\"} or {\"image\", \"text\", "
             "\"label\"}";
    default:
      return "a folder of class folders or lines {\"image\", \"label\"}";
  }
}

// The keys of the first line of the file that is an object.
std::set<std::string> first_line_keys(const std::string& text) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const auto line =
        nlohmann::json::parse(text.begin() + begin, text.begin() + end, nullptr, false);
    std::set<std::string> keys;
    if (line.is_object()) {
      for (const auto& [key, value] : line.items()) keys.insert(key);
      return keys;
    }
    begin = end + 1;
  }
  return {};
}

Format format_of(const std::string& source, Task task) {
  std::error_code ignored;
  if (!fs::exists(source, ignored)) fail("{}: there is no such file or folder", source);
  if (fs::is_directory(source, ignored)) return Format::kClassFolder;
  const std::string text = read_file(source);
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string::npos)
    fail("{}: the file is empty; expected {}", source, expected(task));
  if (text[start] == '[') return Format::kEasyVqa;
  const auto document = first_keys(text, {"questions", "annotations"});
  if (document.contains("questions")) return Format::kQuestions;
  if (document.contains("annotations")) return Format::kAnnotations;

  const auto keys = first_line_keys(text);
  if (keys.contains("image")) return Format::kPlain;
  if (keys.contains("Flickr30K_ID") || keys.contains("gold_label")) return Format::kSnliVe;
  if (keys.contains("identifier") && keys.contains("sentence")) return Format::kNlvr2;
  if (keys.empty()) {
    fail("{}: no line of it is a JSON object; expected {}", source, expected(task));
  }
  fail("{}: its first line has \"{}\"; expected {}", source, fmt::join(keys, "\", \""),
       expected(task));
}

}  // namespace

TaskSet open_task(Task task, const std::vector<std::string>& sources, const std::string& split,
                  const TaskOptions& options) {
  MOME_CHECK(task != Task::kRetrieval);
  if (sources.empty())
    fail("no data of task {} were named; expected {}", task_name(task), expected(task));
  TaskCollector out(task, fmt::format("{}", fmt::join(sources, ", ")), split, options);
  std::vector<std::string> questions, annotations;
  for (const std::string& source : sources) {
    const Format format = format_of(source, task);
    if (!fits(format, task)) {
      fail("{}: this is {}; expected for task {}: {}", source, format_name(format), task_name(task),
           expected(task));
    }
    switch (format) {
      case Format::kClassFolder:
        read_class_folder(source, out);
        break;
      case Format::kQuestions:
        questions.push_back(source);
        break;
      case Format::kAnnotations:
        annotations.push_back(source);
        break;
      case Format::kEasyVqa:
        read_easy_vqa(source, options.image_root, out);
        break;
      case Format::kNlvr2:
        read_nlvr2(source, options.image_root, out);
        break;
      case Format::kSnliVe:
        read_snli_ve(source, options.image_root, out);
        break;
      case Format::kPlain:
        read_plain_lines(source, options.image_root, out);
        break;
    }
  }
  if (!questions.empty() || !annotations.empty()) {
    read_vqa(questions, annotations, options.image_root, out);
  }
  return out.finish();
}

}  // namespace mome
