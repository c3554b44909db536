#include "runtime/data/paths.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "runtime/core/error.h"

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

size_t choose_layout(size_t layouts, size_t files,
                     const std::function<std::string(size_t, size_t)>& name) {
  constexpr size_t kProbes = 64;  // some may be missing, but hardly all of these
  for (size_t layout = 0; layout < layouts; ++layout) {
    for (size_t i = 0; i < std::min(files, kProbes); ++i) {
      std::error_code ignored;
      if (fs::is_regular_file(name(layout, i), ignored)) return layout;
    }
  }
  return 0;
}

std::string choose_root(const std::vector<std::string>& roots,
                        const std::vector<std::string>& files) {
  return roots[choose_layout(roots.size(), files.size(), [&](size_t root, size_t file) {
    return join_path(roots[root], files[file]);
  })];
}

std::vector<std::string> list_images(const std::string& folder) {
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
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace mome
