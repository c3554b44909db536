// Files that the data tests write: a folder that removes itself, images and vocabularies.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "runtime/core/error.h"
#include "runtime/image/png.h"
#include "runtime/text/wordpiece.h"

namespace mome {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "mome_test_XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("cannot make a temporary folder");
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string path() const { return path_.string(); }

  /// Writes a file, its folders too, and returns its path.
  std::string write(const std::string& name, std::string_view content) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
    return file.string();
  }

 private:
  std::filesystem::path path_;
};

/// A picture whose pixels tell its number.
inline Image numbered_image(int number, int width = 20, int height = 16) {
  Image image{width, height, std::vector<uint8_t>(size_t(width) * height * 3)};
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    image.pixels[i] = uint8_t(number * 37 + i * (i % 3 + 1));
  }
  return image;
}

inline std::string numbered_png(int number) {
  const std::vector<uint8_t> bytes = encode_png(numbered_image(number));
  return std::string(bytes.begin(), bytes.end());
}

/// [PAD] [UNK] [CLS] [SEP] [MASK], a to z alone and continuing, digits likewise.
inline WordPiece letter_vocabulary() {
  std::vector<std::string> tokens(std::begin(kSpecialTokens), std::end(kSpecialTokens));
  for (const std::string start : {"", "##"}) {
    for (char c = 'a'; c <= 'z'; ++c) tokens.push_back(start + c);
    for (char c = '0'; c <= '9'; ++c) tokens.push_back(start + c);
  }
  tokens.push_back(":");
  tokens.push_back(",");
  return WordPiece::from_tokens(tokens, "letters");
}

/// The message of the Error that f throws; "" and a failed test if it throws none.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

inline void expect_in(const std::string& message, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << "\"" << part << "\" not in: " << message;
  }
}

}  // namespace mome
