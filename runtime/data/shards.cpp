#include "runtime/data/shards.h"

#include <algorithm>
#include <string_view>

#include "runtime/core/error.h"
#include "runtime/data/trim.h"

namespace mome {
namespace {
constexpr std::string_view kPipe = "pipe:";
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

std::vector<std::string> split_sources(const std::string& source) {
  std::vector<std::string> parts;
  for (size_t begin = 0;;) {
    const size_t end = source.find("::", begin);
    parts.push_back(source.substr(begin, end - begin));
    if (end == std::string::npos) return parts;
    begin = end + 2;
  }
}

// Whether {body} is to be expanded in a command.
bool is_choice(const std::string& body) {
  const size_t dots = body.find("..");
  if (dots != std::string::npos)
    return is_number(body.substr(0, dots)) && is_number(body.substr(dots + 2));
  return body.find(',') != std::string::npos && body.find_first_of(" \t\n") == std::string::npos;
}

// As expand_name, but braces may also be the shell's: those are hidden behind two control
// characters while the others are expanded.
void expand_command(std::string command, const std::string& source, std::vector<std::string>& out) {
  constexpr char kOpen = '\1', kClose = '\2';
  for (size_t at = 0; (at = command.find_first_of("{}", at)) != std::string::npos;) {
    const size_t close = command.find_first_of("{}", at + 1);
    if (command[at] == '{' && close != std::string::npos && command[close] == '}' &&
        is_choice(command.substr(at + 1, close - at - 1))) {
      at = close + 1;
    } else {
      command[at] = command[at] == '{' ? kOpen : kClose;
    }
  }
  const size_t first = out.size();
  expand_name(command, source, out);
  for (size_t i = first; i < out.size(); ++i) {
    std::replace(out[i].begin(), out[i].end(), kOpen, '{');
    std::replace(out[i].begin(), out[i].end(), kClose, '}');
  }
}

}  // namespace

bool is_piped(const std::string& shard) { return shard.starts_with(kPipe); }

std::string piped_command(const std::string& shard) {
  MOME_CHECK(is_piped(shard));
  return trim(shard.substr(kPipe.size()));
}

bool is_shard_source(const std::string& source) {
  const std::vector<std::string> parts = split_sources(source);
  return std::any_of(parts.begin(), parts.end(), [](const std::string& part) {
    return is_piped(part) || part.ends_with(".tar");
  });
}

std::vector<std::string> expand_shards(const std::string& source) {
  std::vector<std::string> out;
  for (const std::string& part : split_sources(source)) {
    if (is_piped(part)) {
      if (piped_command(part).empty()) fail("{}: no command after pipe:", source);
      expand_command(part, source, out);
      continue;
    }
    for (const std::string& name : split_commas(part)) {
      if (!name.ends_with(".tar")) {
        fail("{}: \"{}\" is no name of a .tar file{}", source, name,
             is_piped(name) ? "; a pipe is joined to others by ::" : "");
      }
      expand_name(name, source, out);
    }
  }
  return out;
}

}  // namespace mome
