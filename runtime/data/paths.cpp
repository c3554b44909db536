#include "runtime/data/paths.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

namespace mome {
namespace fs = std::filesystem;

bool is_image_ending(std::string ending) {
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return ending == "jpg" || ending == "jpeg" || ending == "png" || ending == "bmp" ||
         ending == "gif";
}

std::string join_path(const std::string& root, const std::string& file) {
  return (fs::path(root) / file).lexically_normal().string();
}

std::vector<std::string> json_roots(const std::string& file, const std::string& image_root) {
  if (!image_root.empty()) return {image_root};
  const std::string folder = fs::path(file).parent_path().string();
  return {folder, join_path(folder, "images")};
}

std::string choose_root(const std::vector<std::string>& roots,
                        const std::vector<std::string>& files) {
  constexpr size_t kProbes = 64;  // some may be missing, but hardly all of these
  for (const std::string& root : roots) {
    for (size_t i = 0; i < std::min(files.size(), kProbes); ++i) {
      std::error_code ignored;
      if (fs::is_regular_file(join_path(root, files[i]), ignored)) return root;
    }
  }
  return roots.front();
}

}  // namespace mome
