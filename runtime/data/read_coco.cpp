// COCO captions (Chen et al., "Microsoft COCO Captions", 2015): {"images": [{"id", "file_name"}],
// "annotations": [{"image_id", "caption"}]}. The format has no splits: a split is a file.
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/paths.h"
#include "runtime/data/readers.h"

namespace mome {
using nlohmann::json;
namespace {

Record parse_image(const json& object, int64_t& id) {
  if (!object.is_object()) fail("it is of type {}; expected an object", object.type_name());
  id = int_field(object, "id");
  Record record;
  record.key = string_field(object, "file_name");
  if (record.key.empty()) fail("no \"file_name\"; expected a file's name");
  return record;
}

}  // namespace

void read_coco(const json& root, const std::string& file, const std::string& image_root,
               Collector& out) {
  std::vector<Record> records;
  std::vector<std::string> places, names;
  std::unordered_map<int64_t, size_t> by_id;
  size_t number = 0;
  for (const json& object : root.at("images")) {
    const std::string place = fmt::format("{}: images[{}]", file, number++);
    try {
      int64_t id = 0;
      Record record = parse_image(object, id);
      if (!by_id.emplace(id, records.size()).second) fail("\"id\" {} was there before", id);
      names.push_back(record.key);
      records.push_back(std::move(record));
      places.push_back(place);
    } catch (const Error& e) {
      out.bad(fmt::format("{}: {}", place, e.what()));
    }
  }
  number = 0;
  for (const json& object : root.at("annotations")) {
    const std::string place = fmt::format("{}: annotations[{}]", file, number++);
    try {
      if (!object.is_object()) fail("it is of type {}; expected an object", object.type_name());
      const int64_t id = int_field(object, "image_id");
      std::string caption = string_field(object, "caption");
      if (caption.empty()) fail("no \"caption\"; expected a string that is not blank");
      const auto it = by_id.find(id);
      if (it == by_id.end()) fail("\"image_id\" {} is no id of \"images\"", id);
      records[it->second].captions.push_back(std::move(caption));
    } catch (const Error& e) {
      out.bad(fmt::format("{}: {}", place, e.what()));
    }
  }
  const std::string folder = choose_root(json_roots(file, image_root), names);
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].image.file = join_path(folder, names[i]);
    out.add(std::move(records[i]), "", places[i]);
  }
}

}  // namespace mome
