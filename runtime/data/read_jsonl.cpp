// JSON lines: {"image": "images/1.png", "captions": ["..", ".."]} a line, with "split", "keywords"
// and "kind" where there are any.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/paths.h"
#include "runtime/data/readers.h"

namespace mome {
namespace {

Record parse_line(const std::string& line, const std::string& root, std::string& split) {
  const nlohmann::json object = parse_json(line);
  if (!object.is_object()) {
    fail("it is of type {}; expected {{\"image\": .., \"captions\": [..]}}", object.type_name());
  }
  Record record;
  record.key = string_field(object, "image");
  if (record.key.empty()) fail("no \"image\"; expected the path of an image file");
  if (!object.contains("captions")) fail("no \"captions\"; expected a list of strings");
  record.image.file = join_path(root, record.key);
  record.captions = list_field(object, "captions");
  record.keywords = list_field(object, "keywords");
  record.kind = string_field(object, "kind");
  split = string_field(object, "split");
  return record;
}

}  // namespace

void read_jsonl(const std::string& file, const std::string& image_root, Collector& out) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) fail("{}: cannot open", file);
  const std::string root =
      image_root.empty() ? std::filesystem::path(file).parent_path().string() : image_root;
  std::string line;
  for (int64_t number = 1; std::getline(stream, line); ++number) {
    if (trim(line).empty()) continue;
    const std::string place = fmt::format("{}: line {}", file, number);
    try {
      std::string split;
      Record record = parse_line(line, root, split);
      out.add(std::move(record), split, place);
    } catch (const Error& e) {
      out.bad(fmt::format("{}: {}", place, e.what()));
    }
  }
  if (stream.bad()) fail("{}: cannot read", file);
}

}  // namespace mome
