// Names of image files, and where they start from.
#pragma once
#include <functional>
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

/// The first of `layouts` ways to name `files` files, name(layout, file), by which one of the first
/// files is there, or else 0.
size_t choose_layout(size_t layouts, size_t files,
                     const std::function<std::string(size_t, size_t)>& name);

/// The first of `roots` below which one of the first files lies, or else the first of all.
std::string choose_root(const std::vector<std::string>& roots,
                        const std::vector<std::string>& files);

/// Every image file below the folder, relative to it, sorted; links are followed. Throws Error if
/// the folder cannot be listed.
std::vector<std::string> list_images(const std::string& folder);

}  // namespace mome
