// A folder with one folder of pictures a class, under folders of splits if those are all there is.
#include <algorithm>
#include <filesystem>

#include "runtime/core/error.h"
#include "runtime/data/paths.h"
#include "runtime/data/tasks/task_builder.h"

namespace mome {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> folders_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_directory(ignored)) names.push_back(it->path().filename().string());
  }
  if (error) fail("{}: cannot list the folder: {}", folder, error.message());
  std::sort(names.begin(), names.end());
  return names;
}

bool is_split(const std::string& name) {
  return name == "train" || name == "val" || name == "test";
}

void add_classes(const std::string& folder, const std::string& split, TaskBuilder& out) {
  const std::vector<std::string> classes = folders_in(folder);
  if (classes.empty()) fail("{}: no folder in it; expected one a class with its pictures", folder);
  for (const std::string& name : classes) {
    const std::string of_class = join_path(folder, name);
    for (const std::string& file : list_images(of_class)) {
      RawSample sample;
      sample.split = split;
      sample.pictures = {join_path(of_class, file)};
      sample.answers = {{name, 1.0F}};
      sample.labelled = true;
      const std::string place = sample.pictures[0];
      out.add(std::move(sample), place);
    }
  }
}

}  // namespace

void read_class_folders(const std::string& folder, TaskBuilder& out) {
  const std::vector<std::string> names = folders_in(folder);
  if (names.empty() || !std::all_of(names.begin(), names.end(), is_split))
    return add_classes(folder, "", out);
  for (const std::string& split : names) add_classes(join_path(folder, split), split, out);
}

}  // namespace mome
