#include "runtime/data/record.h"

#include <fmt/format.h>

#include <filesystem>

#include "runtime/data/hash.h"

namespace mome {

std::string image_name(const ImageRef& image) {
  return image.member.empty() ? image.file : fmt::format("{}: {}", image.file, image.member);
}

int64_t image_id(const ImageRef& image) {
  return int64_t(hash64(fmt::format("{}\n{}", image.file, image.offset)));
}

std::string image_identity(const ImageRef& image) {
  namespace fs = std::filesystem;
  if (image.shard) return fmt::format("{}\n{}", image.file, image.offset);  // a command, no file
  std::error_code error;
  fs::path file = fs::weakly_canonical(image.file, error);
  if (error) file = fs::absolute(image.file, error).lexically_normal();
  return fmt::format("{}\n{}", file.string(), image.offset);
}

}  // namespace mome
