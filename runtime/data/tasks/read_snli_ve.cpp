// SNLI-VE (Xie et al., 2019), visual entailment: JSON lines {"gold_label", "sentence2" (the
// hypothesis), "Flickr30K_ID" (the premise: a picture ID.jpg), "pairID"}.
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/json_lines.h"
#include "runtime/data/paths.h"
#include "runtime/data/tasks/task_readers.h"

namespace mome {
using nlohmann::json;
namespace {

RawSample parse_line(const json& object) {
  RawSample sample;
  sample.key = string_field(object, "pairID");
  sample.text = string_field(object, "sentence2");
  std::string image;
  const auto it = object.find("Flickr30K_ID");
  if (it != object.end() && it->is_number_integer()) {
    image = std::to_string(it->get<int64_t>());
  } else {
    image = string_field(object, "Flickr30K_ID");
  }
  if (image.empty()) fail("no \"Flickr30K_ID\"; expected the name of a picture");
  sample.images = {image.ends_with(".jpg") ? image : image + ".jpg"};
  const std::string label = string_field(object, "gold_label");
  if (!label.empty() && label != "contradiction" && label != "entailment" && label != "neutral") {
    fail("\"gold_label\" is \"{}\"; expected contradiction, entailment or neutral", label);
  }
  sample.labelled = !label.empty();
  if (sample.labelled) sample.answers = {{label, 1.0f}};
  return sample;
}

}  // namespace

void read_snli_ve(const std::string& file, const std::string& image_root, TaskCollector& out) {
  out.set_classes({"contradiction", "entailment", "neutral"});
  std::vector<RawSample> samples;
  read_json_lines(
      file,
      [&](const json& object, const std::string& place) {
        samples.push_back(parse_line(object));
        samples.back().place = place;
      },
      [&](std::string problem) { out.bad(std::move(problem)); });
  add_below_root(std::move(samples), json_roots(file, image_root), out);
}

}  // namespace mome
