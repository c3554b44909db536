// NLVR2 (Suhr et al., ACL 2019): JSON lines {"sentence", "label": "True" or "False", "identifier":
// "train-10171-0-0", "directory"}. The identifier without its last part names the two pictures,
// train-10171-0-img0.png and -img1.png; its first part is the split.
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/json_lines.h"
#include "runtime/data/paths.h"
#include "runtime/data/tasks/task_readers.h"

namespace mome {
using nlohmann::json;
namespace {

RawSample parse_line(const json& object, std::string& directory) {
  RawSample sample;
  sample.key = string_field(object, "identifier");
  const size_t split = sample.key.find('-'), last = sample.key.rfind('-');
  if (split == std::string::npos || split == last) {
    fail("\"identifier\" is \"{}\"; expected such as \"train-10171-0-0\"", sample.key);
  }
  sample.split = sample.key.substr(0, split);
  for (const char* end : {"-img0.png", "-img1.png"}) {
    sample.images.push_back(sample.key.substr(0, last) + end);
  }
  sample.text = string_field(object, "sentence");
  const std::string label = string_field(object, "label");
  if (!label.empty() && label != "True" && label != "False") {
    fail("\"label\" is \"{}\"; expected \"True\" or \"False\"", label);
  }
  sample.labelled = !label.empty();
  if (sample.labelled) sample.answers = {{label, 1.0f}};
  directory.clear();
  const auto it = object.find("directory");  // a number in the official files
  if (it != object.end() && !it->is_null()) {
    directory = it->is_number_integer() ? std::to_string(it->get<int64_t>())
                                        : string_field(object, "directory");
  }
  return sample;
}

}  // namespace

void read_nlvr2(const std::string& file, const std::string& image_root, TaskCollector& out) {
  out.set_classes({"False", "True"});
  std::vector<RawSample> samples;
  std::vector<std::string> directories;
  read_json_lines(
      file,
      [&](const json& object, const std::string& place) {
        std::string directory;
        samples.push_back(parse_line(object, directory));
        samples.back().place = place;
        directories.push_back(directory);
      },
      [&](std::string problem) { out.bad(std::move(problem)); });

  // The root, its folder of the split, and the same in `images`, with or without directories;
  // each split may lie elsewhere.
  const std::vector<std::string> roots = json_roots(file, image_root);
  constexpr size_t kWays = 5;
  const auto path = [&](size_t layout, size_t i, const std::string& name) {
    const std::string& root = roots[layout / kWays];
    const RawSample& s = samples[i];
    switch (layout % kWays) {
      case 0:
        return join_path(root, name);
      case 1:
        return join_path(root, fmt::format("{}/{}", s.split, name));
      case 2:
        return join_path(root, fmt::format("{}/{}/{}", s.split, directories[i], name));
      case 3:
        return join_path(root, fmt::format("images/{}/{}", s.split, name));
      default:
        return join_path(root, fmt::format("images/{}/{}/{}", s.split, directories[i], name));
    }
  };
  std::map<std::string, std::vector<size_t>> splits;
  for (size_t i = 0; i < samples.size(); ++i) splits[samples[i].split].push_back(i);
  std::map<std::string, size_t> layouts;
  for (const auto& [split, of_split] : splits) {
    layouts[split] =
        choose_layout(roots.size() * kWays, of_split.size(), [&](size_t layout, size_t i) {
          return path(layout, of_split[i], samples[of_split[i]].images[0]);
        });
  }
  for (size_t i = 0; i < samples.size(); ++i) {
    const size_t layout = layouts[samples[i].split];
    for (std::string& name : samples[i].images) name = path(layout, i, name);
    out.add(std::move(samples[i]));
  }
}

}  // namespace mome
