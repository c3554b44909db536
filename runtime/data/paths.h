// Names of image files, and where they start from.
#pragma once
#include <string>
#include <vector>

namespace mome {

/// Endings of files that are taken for images, as errors spell them (decode_image reads them all).
inline constexpr const char* kImageEndings = ".jpg, .jpeg, .png, .bmp or .gif";
/// Whether `ending` (without the dot, any case) is one of them.
bool is_image_ending(std::string ending);

/// `root`/`file`, or `file` if that is absolute; "." and ".." are resolved as text.
std::string join_path(const std::string& root, const std::string& file);

/// Where the images of a .json file may lie: image_root if there is one, else its folder or
/// `images` in it.
std::vector<std::string> json_roots(const std::string& file, const std::string& image_root);

/// The first of `roots` below which one of the first files lies, or else the first of all.
std::string choose_root(const std::vector<std::string>& roots,
                        const std::vector<std::string>& files);

}  // namespace mome
