// JSON lines: {"image": "images/1.png", "captions": ["..", ".."]} a line, with "split", "keywords"
// and "kind" where there are any.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/json_lines.h"
#include "runtime/data/paths.h"
#include "runtime/data/readers.h"

namespace mome {
namespace {

Record parse_line(const nlohmann::json& object, const std::string& root, std::string& split) {
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
  const std::string root =
      image_root.empty() ? std::filesystem::path(file).parent_path().string() : image_root;
  read_json_lines(
      file,
      [&](const nlohmann::json& object, const std::string& place) {
        std::string split;
        Record record = parse_line(object, root, split);
        out.add(std::move(record), split, place);
      },
      [&](std::string problem) { out.bad(std::move(problem)); });
}

}  // namespace mome
