#include "runtime/image/png.h"

#include <fstream>

#include "runtime/core/error.h"

#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace mome {

std::vector<uint8_t> encode_png(const Image& image) {
  if (image.width < 1 || image.height < 1)
    fail("PNG: cannot encode {} x {} pixels", image.width, image.height);
  MOME_CHECK(image.pixels.size() == size_t(image.width) * image.height * 3);
  std::vector<uint8_t> bytes;
  const auto append = [](void* to, void* data, int size) {
    const auto* from = static_cast<const uint8_t*>(data);
    static_cast<std::vector<uint8_t>*>(to)->insert(static_cast<std::vector<uint8_t>*>(to)->end(),
                                                   from, from + size);
  };
  if (!stbi_write_png_to_func(append, &bytes, image.width, image.height, 3, image.pixels.data(),
                              image.width * 3))
    fail("PNG: cannot encode {} x {} pixels", image.width, image.height);
  return bytes;
}

void write_png(const std::string& path, const Image& image) {
  const std::vector<uint8_t> bytes = encode_png(image);
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
  file.close();
  if (!file) fail("{}: cannot write {} bytes", path, bytes.size());
}

}  // namespace mome
