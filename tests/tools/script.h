// Runs the project's developer scripts as a user would, in a folder that goes when the test ends.
#pragma once
#include <cstdlib>

#include "tests/tools/program.h"

namespace mome {

class ScriptTest : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    if (std::system("command -v python3 > /dev/null") != 0) GTEST_SKIP() << "no python3 here";
  }

  /// Runs bash text in the folder, with $tools the folder of the scripts.
  Result bash(const std::string& text) {
    write("script", "tools='" MOME_SOURCE_DIR "/tools'\ncd '" + folder_ + "'\n" + text);
    const int status = std::system(
        ("bash '" + path("script") + "' > '" + path("stdout") + "' 2> '" + path("stderr") + "'")
            .c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read_file(path("stdout")),
            read_file(path("stderr"))};
  }

  /// Writes a file of the folder, and the folders above it.
  void write(const std::string& name, const std::string& bytes, bool executable = false) {
    const std::filesystem::path file = path(name);
    std::filesystem::create_directories(file.parent_path());
    write_file_atomic(file, bytes);
    if (executable) std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  }
};

}  // namespace mome
