#include "runtime/data/tasks/vqa_submission.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"

namespace mome {

void write_submission(const std::string& path, const std::vector<std::string>& keys,
                      const std::vector<std::string>& answers) {
  MOME_CHECK(keys.size() == answers.size());
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  std::set<int64_t> seen;
  for (size_t i = 0; i < keys.size(); ++i) {
    int64_t id = 0;
    const char* end = keys[i].data() + keys[i].size();
    const auto [stop, error] = std::from_chars(keys[i].data(), end, id);
    if (error != std::errc() || stop != end)
      fail("{}: question \"{}\": expected the whole number that VQAv2 knows it by", path, keys[i]);
    if (!seen.insert(id).second) fail("{}: question {} is there twice", path, id);
    all.push_back({{"question_id", id}, {"answer", answers[i]}});
  }
  write_file_atomic(path, all.dump() + "\n");
}

}  // namespace mome
