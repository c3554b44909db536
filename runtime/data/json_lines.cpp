#include "runtime/data/json_lines.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/trim.h"

namespace mome {

void read_json_lines(const std::string& file,
                     const std::function<void(const nlohmann::json&, const std::string&)>& item,
                     const std::function<void(std::string)>& bad) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) fail("{}: cannot open", file);
  std::string line;
  for (int64_t number = 1; std::getline(stream, line); ++number) {
    if (trim(line).empty()) continue;
    const std::string place = fmt::format("{}: line {}", file, number);
    try {
      const nlohmann::json object = parse_json(line);
      if (!object.is_object()) {
        fail("it is of type {}; expected an object, {{..}}", object.type_name());
      }
      item(object, place);
    } catch (const Error& e) {
      bad(fmt::format("{}: {}", place, e.what()));
    }
  }
  if (stream.bad()) fail("{}: cannot read", file);
}

}  // namespace mome
