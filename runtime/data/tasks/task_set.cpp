#include "runtime/data/tasks/task_set.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/tasks/task_builder.h"
#include "runtime/data/trim.h"

namespace mome {
namespace fs = std::filesystem;
namespace {

enum class Format { kClassFolders, kLines, kEasyVqa, kVqa };

// By the first line alone: VQAv2's files and easy-VQA's are one long line or spread over many, JSON
// lines are an object each, whatever the file's name ends with (NLVR2's end with .json).
Format format_of(const std::string& source) {
  std::error_code ignored;
  if (!fs::exists(source, ignored)) fail("{}: there is no such file or folder", source);
  if (fs::is_directory(source, ignored)) return Format::kClassFolders;
  std::ifstream stream(source, std::ios::binary);
  if (!stream) fail("{}: cannot open", source);
  std::string first;
  while (trim(first).empty() && std::getline(stream, first)) {
  }
  const std::string text = trim(first);
  if (text.empty()) fail("{}: empty; expected a task's samples", source);
  if (text[0] == '[') return Format::kEasyVqa;
  if (text[0] != '{') fail("{}: is no JSON; expected a task's samples", source);
  const bool whole = nlohmann::json::accept(text);
  const std::string start = text.substr(0, 400);
  const bool is_vqa = start.find("\"questions\"") != std::string::npos ||
                      start.find("\"annotations\"") != std::string::npos ||
                      start.find("\"data_subtype\"") != std::string::npos || !whole;
  return is_vqa && !source.ends_with(".jsonl") ? Format::kVqa : Format::kLines;
}

void expect(bool fits, const std::string& source, Task task, const char* what) {
  if (!fits)
    fail("{}: {}; task {} expects {}", source, what, task_name(task),
         task == Task::kVqa
             ? "VQAv2's questions and annotations, easy-VQA's list or plain JSON lines"
         : task == Task::kImageClassification ? "a folder of class folders or plain JSON lines"
                                              : "JSON lines of its own or plain ones");
}

}  // namespace

TaskSet open_task(Task task, const std::vector<std::string>& sources, const std::string& split,
                  const TaskOptions& options) {
  MOME_CHECK(task != Task::kRetrieval);
  if (sources.empty()) fail("no data was named; expected at least one file");
  TaskBuilder out(task, fmt::format("{}", fmt::join(sources, ", ")), split, options);
  std::vector<std::string> vqa;
  for (const std::string& source : sources) {
    switch (format_of(source)) {
      case Format::kClassFolders:
        expect(task == Task::kImageClassification, source, task, "is a folder");
        read_class_folders(source, out);
        break;
      case Format::kLines:
        read_task_lines(source, out);
        break;
      case Format::kEasyVqa:
        expect(task == Task::kVqa, source, task, "is a JSON list");
        try {
          read_easy_vqa(source, out);
        } catch (const Error& e) {
          fail("{}: {}", source, e.what());
        }
        break;
      case Format::kVqa:
        expect(task == Task::kVqa, source, task, "is one JSON object");
        vqa.push_back(source);
        break;
    }
  }
  if (!vqa.empty()) read_vqa(vqa, out);
  return out.finish();
}

}  // namespace mome
