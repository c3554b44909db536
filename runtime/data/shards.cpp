#include "runtime/data/shards.h"

#include <algorithm>

#include "runtime/core/error.h"

namespace mome {
namespace {
constexpr size_t kMaxShards = 1'000'000;  // a mistyped range, not a data set

// Cuts at commas outside braces.
std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> parts(1);
  int depth = 0;
  for (const char c : text) {
    if (c == '{') ++depth;
    if (c == '}') --depth;
    if (c == ',' && depth == 0) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() <= 9 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> alternatives(const std::string& body, const std::string& source) {
  const size_t dots = body.find("..");
  if (dots == std::string::npos) return split_commas(body);
  const std::string first = body.substr(0, dots), last = body.substr(dots + 2);
  if (!is_number(first) || !is_number(last) || std::stoul(first) > std::stoul(last)) {
    fail("{}: {{{}}} is no range; expected two rising numbers as in {{0000..0009}}", source, body);
  }
  const size_t begin = std::stoul(first), end = std::stoul(last);
  if (end - begin >= kMaxShards) fail("{}: {{{}}} is over a million shards", source, body);
  std::vector<std::string> out;
  for (size_t i = begin; i <= end; ++i) out.push_back(fmt::format("{:0{}}", i, first.size()));
  return out;
}

void expand_name(const std::string& name, const std::string& source,
                 std::vector<std::string>& out) {
  std::vector<std::string> heads = {""};
  size_t at = 0;
  while (true) {
    const size_t open = name.find_first_of("{}", at);
    for (std::string& head : heads) head += name.substr(at, open - at);
    if (open == std::string::npos) break;
    const size_t close = name.find_first_of("{}", open + 1);
    if (name[open] == '}' || close == std::string::npos || name[close] == '{') {
      fail("{}: a brace without its partner; expected {{0000..0009}} or {{a,b}}", source);
    }
    const auto bodies = alternatives(name.substr(open + 1, close - open - 1), source);
    if (heads.size() * bodies.size() > kMaxShards) fail("{}: over a million shards", source);
    std::vector<std::string> longer;
    for (const std::string& head : heads) {
      for (const std::string& body : bodies) longer.push_back(head + body);
    }
    heads = std::move(longer);
    at = close + 1;
  }
  out.insert(out.end(), heads.begin(), heads.end());
}

}  // namespace

bool is_shard_source(const std::string& source) { return source.ends_with(".tar"); }

std::vector<std::string> expand_shards(const std::string& source) {
  std::vector<std::string> out;
  for (const std::string& name : split_commas(source)) {
    if (!name.ends_with(".tar")) fail("{}: \"{}\" is no name of a .tar file", source, name);
    expand_name(name, source, out);
  }
  return out;
}

}  // namespace mome
