#include <fstream>
#include <string>
#include <vector>

#include "runtime/core/error.h"
#include "runtime/data/trim.h"

namespace mome {

std::vector<std::string> read_text_lines(const std::vector<std::string>& files) {
  std::vector<std::string> lines;
  for (const std::string& file : files) {
    std::ifstream stream(file, std::ios::binary);
    // A folder opens, and fails at the first read.
    if (!stream || (stream.peek(), stream.bad()))
      fail("{}: cannot read; expected a text file", file);
    std::string line;
    while (std::getline(stream, line)) {
      line = trim(line);
      if (!line.empty()) lines.push_back(std::move(line));
    }
    if (stream.bad()) fail("{}: cannot read all of it", file);
  }
  if (lines.empty()) {
    fail("{}: no text; expected one sample a line", files.empty() ? "no file" : files.front());
  }
  return lines;
}

}  // namespace mome
