// The rooms of the program and who may know whom: tools -> models -> runtime -> kernels. An include
// against that direction makes a lower room depend on a higher one, and this test fail.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace mome {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kRooms = {"kernels", "runtime", "models", "tools"};

/// 0 for kernels … 3 for tools; -1 for a path outside the rooms.
int level_of(const std::string& path) {
  for (size_t i = 0; i < kRooms.size(); ++i)
    if (path.rfind(kRooms[i] + "/", 0) == 0) return static_cast<int>(i);
  return -1;
}

bool is_source(const fs::path& path) {
  const std::string e = path.extension().string();
  return e == ".h" || e == ".cpp" || e == ".cu" || e == ".cuh" || e == ".inc";
}

/// What is wrong with the includes of one file's text; empty if nothing is.
std::vector<std::string> offences(const std::string& file, std::istream& text,
                                  const std::function<bool(const std::string&)>& exists) {
  static const std::regex kInclude(R"re(^\s*#\s*include\s*"([^"]+)".*)re");
  std::vector<std::string> found;
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    std::smatch match;
    if (!std::regex_match(line, match, kInclude)) continue;
    const std::string included = match[1];
    const std::string where = file + ":" + std::to_string(number) + ": \"" + included + "\"";
    if (level_of(included) < 0 || !exists(included))
      found.push_back(where + " is no path from the root of the tree");
    else if (level_of(included) > level_of(file))
      found.push_back(where + " runs against tools -> models -> runtime -> kernels");
  }
  return found;
}

TEST(Includes, RunOneWay) {
  const fs::path root = MOME_SOURCE_DIR;
  const auto exists = [&](const std::string& path) { return fs::is_regular_file(root / path); };
  int files = 0;
  for (const std::string& room : kRooms) {
    ASSERT_TRUE(fs::is_directory(root / room)) << room;
    for (const auto& entry : fs::recursive_directory_iterator(root / room)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      ++files;
      std::ifstream text(entry.path());
      const std::string name = fs::relative(entry.path(), root).generic_string();
      for (const std::string& offence : offences(name, text, exists)) ADD_FAILURE() << offence;
    }
  }
  EXPECT_GT(files, 10) << "the rooms were not read";
}

TEST(Includes, AnOffenceIsSeen) {
  const auto exists = [](const std::string& path) { return path != "kernels/gone.h"; };
  const auto count = [&](const std::string& file, const std::string& text) {
    std::istringstream stream(text);
    return offences(file, stream, exists).size();
  };
  EXPECT_EQ(count("runtime/a.cpp", "#include \"kernels/b.h\"\n#include \"runtime/c.h\"\n"), 0u);
  EXPECT_EQ(count("runtime/a.cpp", "#include <vector>\n// #include \"models/b.h\"\n"), 0u);
  EXPECT_EQ(count("runtime/a.cpp", "  # include \"models/b.h\"  // why\n"), 1u);
  EXPECT_EQ(count("kernels/a.h", "#include \"runtime/b.h\"\n#include \"tools/c.h\"\n"), 2u);
  EXPECT_EQ(count("models/a.h", "#include \"b.h\"\n#include \"kernels/gone.h\"\n"), 2u);
}

}  // namespace
}  // namespace mome
