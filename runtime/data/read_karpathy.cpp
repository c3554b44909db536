// Karpathy's splits (Karpathy and Fei-Fei 2015): {"images": [{"filename", "filepath" (optional),
// "split", "sentences": [{"raw"}]}]}, used for COCO, Flickr30k and many smaller sets.
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/paths.h"
#include "runtime/data/readers.h"

namespace mome {
using nlohmann::json;
namespace {

Record parse_image(const json& object, std::string& split) {
  if (!object.is_object()) fail("it is of type {}; expected an object", object.type_name());
  Record record;
  record.key = string_field(object, "filename");
  if (record.key.empty()) fail("no \"filename\"; expected a file's name");
  const std::string path = string_field(object, "filepath");
  if (!path.empty()) record.key = join_path(path, record.key);
  split = string_field(object, "split");
  if (split.empty()) fail("no \"split\"; expected train, restval, val or test");
  const auto sentences = object.find("sentences");
  if (sentences == object.end() || !sentences->is_array()) {
    fail("no list \"sentences\"; expected [{{\"raw\": ..}}, ..]");
  }
  for (const json& sentence : *sentences) {
    if (!sentence.is_object()) {
      fail("\"sentences\" holds a value of type {}; expected {{\"raw\": ..}}",
           sentence.type_name());
    }
    std::string caption = string_field(sentence, "raw");
    if (!caption.empty()) record.captions.push_back(std::move(caption));
  }
  return record;
}

}  // namespace

void read_karpathy(const json& root, const std::string& file, const std::string& image_root,
                   Collector& out) {
  std::vector<Record> records;
  std::vector<std::string> splits, places, names;
  size_t number = 0;
  for (const json& object : root.at("images")) {
    const std::string place = fmt::format("{}: images[{}]", file, number++);
    try {
      std::string split;
      Record record = parse_image(object, split);
      names.push_back(record.key);
      records.push_back(std::move(record));
      splits.push_back(std::move(split));
      places.push_back(place);
    } catch (const Error& e) {
      out.bad(fmt::format("{}: {}", place, e.what()));
    }
  }
  const std::string folder = choose_root(json_roots(file, image_root), names);
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].image.file = join_path(folder, names[i]);
    out.add(std::move(records[i]), splits[i], places[i]);
  }
}

}  // namespace mome
