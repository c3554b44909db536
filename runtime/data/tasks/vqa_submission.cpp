#include "runtime/data/tasks/vqa_submission.h"

#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "runtime/core/error.h"
#include "runtime/io/atomic_file.h"

namespace mome {

void write_submission(const std::string& path, const std::vector<std::string>& keys,
                      const std::vector<std::string>& answers) {
  MOME_CHECK(keys.size() == answers.size());
  std::string text = "[";
  std::unordered_set<int64_t> seen;
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::string& key = keys[i];
    int64_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (key.empty() || error != std::errc() || end != key.data() + key.size()) {
      fail("{}: question {} of {} has the id \"{}\"; expected a whole number, as VQAv2's are", path,
           i + 1, keys.size(), key);
    }
    if (!seen.insert(id).second) fail("{}: question_id {} was there before", path, id);
    // Answers are classes, which may come from files: bytes that are not UTF-8 are replaced.
    text += fmt::format(
        "{}\n{{\"question_id\": {}, \"answer\": {}}}", i == 0 ? "" : ",", id,
        nlohmann::json(answers[i]).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
  text += "\n]\n";
  write_file_atomic(path, text);
}

}  // namespace mome
