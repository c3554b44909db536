// A folder of images without captions (for image-only pretraining): every image file below it, in
// the order of their paths.
#include <algorithm>
#include <filesystem>

#include "runtime/core/error.h"
#include "runtime/data/paths.h"
#include "runtime/data/readers.h"

namespace mome {
namespace fs = std::filesystem;

void read_image_folder(const std::string& folder, Collector& out) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, fs::directory_options::follow_directory_symlink,
                                      error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    std::error_code ignored;
    const std::string ending = it->path().extension().string();
    if (!ending.empty() && is_image_ending(ending.substr(1)) && it->is_regular_file(ignored)) {
      files.push_back(it->path().lexically_relative(folder).generic_string());
    }
  }
  if (error) fail("{}: cannot list the folder: {}", folder, error.message());
  if (files.empty()) {
    fail("{}: neither captions.jsonl nor an image in this folder; expected {} files", folder,
         kImageEndings);
  }
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) {
    Record record;
    record.key = file;
    record.image.file = join_path(folder, file);
    out.add(std::move(record), "", folder);
  }
}

}  // namespace mome
