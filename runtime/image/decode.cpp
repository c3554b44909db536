#include "runtime/image/decode.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>

#include "runtime/core/error.h"
#include "runtime/image/jpeg.h"
#include "runtime/image/jpeg_check.h"

// Only formats with a signature (TGA accepts nearly any bytes), and not GIF, whose decoder in stb
// has a record of writes out of bounds.
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace mome {
namespace {

// stb reads zeros past the end and may call the result a picture; so we feed it ourselves and note
// whether it ever asked for more than there is.
struct Reader {
  std::span<const uint8_t> bytes;
  size_t position = 0;
  bool overrun = false;
};

int read_bytes(void* user, char* data, int size) {
  Reader& reader = *static_cast<Reader*>(user);
  const size_t n = std::min(size_t(size), reader.bytes.size() - reader.position);
  if (n == 0 && size > 0) reader.overrun = true;
  if (n > 0) std::memcpy(data, reader.bytes.data() + reader.position, n);
  reader.position += n;
  return int(n);
}

void skip_bytes(void* user, int n) {
  Reader& reader = *static_cast<Reader*>(user);
  const int64_t to = int64_t(reader.position) + n, end = int64_t(reader.bytes.size());
  if (to > end) reader.overrun = true;
  reader.position = size_t(std::clamp<int64_t>(to, 0, end));
}

int at_end(void* user) {
  const Reader& reader = *static_cast<Reader*>(user);
  return reader.position >= reader.bytes.size();
}

constexpr stbi_io_callbacks kCallbacks = {read_bytes, skip_bytes, at_end};

[[noreturn]] void fail_decode(const Reader& reader, const std::string& name) {
  const size_t size = reader.bytes.size();
  if (reader.overrun) fail("{}: the picture is cut short after {} bytes", name, size);
  const char* reason = stbi_failure_reason();
  fail("{}: cannot decode {} bytes: {}; expected a PNG, JPEG or BMP picture", name, size,
       reason ? reason : "unknown format");
}

// The whole picture by stb_image.
Image decode_by_stb(std::span<const uint8_t> bytes, const std::string& name) {
  // Always four channels: a PNG may announce its transparency only after the header.
  Reader reader{bytes};
  int width = 0, height = 0, channels = 0;
  const std::unique_ptr<uint8_t, void (*)(void*)> rgba(
      stbi_load_from_callbacks(&kCallbacks, &reader, &width, &height, &channels, 4),
      stbi_image_free);
  if (!rgba || reader.overrun) fail_decode(reader, name);

  Image image{width, height, std::vector<uint8_t>(size_t(width) * height * 3)};
  const uint8_t* from = rgba.get();
  uint8_t* to = image.pixels.data();
  for (int64_t i = 0, n = int64_t{width} * height; i < n; ++i, from += 4, to += 3)
    for (int c = 0; c < 3; ++c) {
      // alpha * colour + (1 - alpha) * white, rounded to nearest.
      to[c] = uint8_t((from[c] * from[3] + 255 * (255 - from[3]) + 127) / 255);
    }
  return image;
}

[[noreturn]] void fail_decode(const JpegDecoder& jpeg, size_t size, const std::string& name) {
  if (jpeg.cut_short()) fail("{}: the picture is cut short after {} bytes", name, size);
  fail("{}: cannot decode {} bytes: {}; expected a PNG, JPEG or BMP picture", name, size,
       jpeg.problem());
}

bool is_whole(const Crop& part, int width, int height) {
  return part.left == 0 && part.top == 0 && part.width == width && part.height == height;
}

Image cut(const Image& image, const Crop& part) {
  Image out{part.width, part.height, std::vector<uint8_t>(size_t(part.width) * part.height * 3)};
  for (int y = 0; y < part.height; ++y) {
    std::memcpy(out.pixels.data() + int64_t{y} * part.width * 3,
                image.pixels.data() + (int64_t{part.top + y} * image.width + part.left) * 3,
                size_t(part.width) * 3);
  }
  return out;
}

}  // namespace

EncodedImage::EncodedImage(std::span<const uint8_t> bytes, std::string name)
    : bytes_(bytes), name_(std::move(name)) {
  if (bytes.empty()) fail("{}: empty; expected a PNG, JPEG or BMP picture", name_);
  if (!jpeg_tables_fit(bytes))
    fail("{}: a Huffman table of the JPEG is broken or cut short", name_);
  if (bytes.size() > 2 && bytes[0] == 0xff && bytes[1] == 0xd8) {
    jpeg_ = std::make_unique<JpegDecoder>(bytes);
    if (!jpeg_->read_head()) fail_decode(*jpeg_, bytes.size(), name_);
    width_ = jpeg_->width();
    height_ = jpeg_->height();
    if (!jpeg_->is_rgb()) jpeg_.reset();
  } else {
    Reader head{bytes};
    int channels = 0;
    if (!stbi_info_from_callbacks(&kCallbacks, &head, &width_, &height_, &channels))
      fail_decode(head, name_);
  }
  if (width_ < 1 || height_ < 1 || int64_t{width_} * height_ > kMaxImagePixels)
    fail("{}: {} x {} pixels; expected at most {} in all", name_, width_, height_, kMaxImagePixels);
}

EncodedImage::~EncodedImage() = default;

Image EncodedImage::decode(int denominator, const Crop& part) {
  const int width = (width_ + denominator - 1) / denominator;
  const int height = (height_ + denominator - 1) / denominator;
  MOME_CHECK(denominator == 1 || jpeg_);
  MOME_CHECK(part.left >= 0 && part.top >= 0 && part.width >= 1 && part.height >= 1 &&
             part.left <= width - part.width && part.top <= height - part.height);
  if (!jpeg_) {
    Image image = decode_by_stb(bytes_, name_);
    return is_whole(part, width, height) ? image : cut(image, part);
  }
  Image out{part.width, part.height, std::vector<uint8_t>(size_t(part.width) * part.height * 3)};
  if (!jpeg_->decode(denominator, part, out.pixels.data()))
    fail_decode(*jpeg_, bytes_.size(), name_);
  return out;
}

Image decode_image(std::span<const uint8_t> bytes, const std::string& name) {
  EncodedImage image(bytes, name);
  return image.decode(1, {0, 0, image.width(), image.height()});
}

Image read_image(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("{}: cannot open the picture", path);
  // read() turns the errors of the file system (a directory, a bad disk) into bad(), not
  // exceptions.
  std::vector<uint8_t> bytes;
  char buffer[1 << 16];
  do {
    file.read(buffer, sizeof buffer);
    bytes.insert(bytes.end(), buffer, buffer + file.gcount());
  } while (file);
  if (file.bad()) fail("{}: cannot read the picture", path);
  return decode_image(bytes, path);
}

}  // namespace mome
