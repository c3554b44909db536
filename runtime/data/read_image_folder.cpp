// A folder of images without captions (for image-only pretraining): every image file below it, in
// the order of their paths.
#include "runtime/core/error.h"
#include "runtime/data/paths.h"
#include "runtime/data/readers.h"

namespace mome {

void read_image_folder(const std::string& folder, Collector& out) {
  const std::vector<std::string> files = list_images(folder);
  if (files.empty()) {
    fail("{}: neither captions.jsonl nor an image in this folder; expected {} files", folder,
         kImageEndings);
  }
  for (const std::string& file : files) {
    Record record;
    record.key = file;
    record.image.file = join_path(folder, file);
    out.add(std::move(record), "", folder);
  }
}

}  // namespace mome
