// easy-VQA (Zhou, 2019): questions.json is a list of [question, answer, image number]; the pictures
// are images/NUMBER.png.
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/paths.h"
#include "runtime/data/tasks/task_readers.h"
#include "runtime/data/trim.h"
#include "runtime/io/atomic_file.h"

namespace mome {
using nlohmann::json;
namespace {

RawSample parse_entry(const json& entry) {
  if (!entry.is_array() || entry.size() != 3 || !entry[0].is_string() || !entry[1].is_string() ||
      !entry[2].is_number_unsigned()) {
    fail("it is {:.80}; expected [\"question\", \"answer\", image number]",
         entry.dump(-1, ' ', true, json::error_handler_t::replace));
  }
  RawSample sample;
  sample.text = trim(entry[0].get_ref<const std::string&>());
  sample.answers = {{trim(entry[1].get_ref<const std::string&>()), 1.0f}};
  sample.labelled = true;
  sample.images = {fmt::format("{}.png", entry[2].get<uint64_t>())};
  return sample;
}

}  // namespace

void read_easy_vqa(const std::string& file, const std::string& image_root, TaskCollector& out) {
  json root;
  try {
    root = parse_json(read_file(file));
  } catch (const Error& e) {
    fail("{}: {}", file, e.what());
  }
  std::vector<RawSample> samples;
  for (size_t i = 0; i < root.size(); ++i) {
    const std::string place = fmt::format("{}: [{}]", file, i);
    try {
      samples.push_back(parse_entry(root[i]));
      samples.back().place = place;
    } catch (const Error& e) {
      out.bad(fmt::format("{}: {}", place, e.what()));
    }
  }
  add_below_root(std::move(samples), json_roots(file, image_root), out);
}

}  // namespace mome
