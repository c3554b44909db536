// Image classification as a folder: FOLDER/CLASS/../PICTURE, or FOLDER/SPLIT/CLASS/../PICTURE where
// the only folders with pictures are train, val and test.
#include <algorithm>

#include "runtime/core/error.h"
#include "runtime/data/paths.h"
#include "runtime/data/tasks/task_readers.h"

namespace mome {
namespace {

// Takes the first folder off `path`; empty if there is none.
std::string take_folder(std::string& path) {
  const size_t slash = path.find('/');
  if (slash == std::string::npos) return {};
  const std::string folder = path.substr(0, slash);
  path.erase(0, slash + 1);
  return folder;
}

bool is_split(const std::string& folder) {
  return folder == "train" || folder == "val" || folder == "test";
}

}  // namespace

void read_class_folder(const std::string& folder, TaskCollector& out) {
  const std::vector<std::string> files = list_images(folder);
  if (files.empty()) {
    fail("{}: no image in this folder; expected one folder a class, with {} files", folder,
         kImageEndings);
  }
  const bool splits = std::all_of(files.begin(), files.end(),
                                  [](std::string file) { return is_split(take_folder(file)); });
  for (const std::string& file : files) {
    RawSample sample;
    sample.key = file;
    sample.place = fmt::format("{}: {}", folder, file);
    sample.images = {join_path(folder, file)};
    std::string rest = file;
    if (splits) sample.split = take_folder(rest);
    const std::string name = take_folder(rest);
    if (name.empty()) {
      out.bad(fmt::format("{}: it is in no class's folder; expected CLASS/{}", sample.place, rest));
      continue;
    }
    sample.answers = {{name, 1.0f}};
    sample.labelled = true;
    out.add(std::move(sample));
  }
}

}  // namespace mome
