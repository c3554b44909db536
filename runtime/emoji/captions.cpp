#include "runtime/emoji/captions.h"

#include <algorithm>
#include <string_view>

namespace mome {
namespace {

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t end = text.find(", ");
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 2);
  }
}

// "x", "x and y", "x, y and z".
std::string join_list(const std::vector<std::string>& parts) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += i + 1 == parts.size() ? " and " : ", ";
    out += parts[i];
  }
  return out;
}

std::string article(std::string_view noun) {
  return std::string_view("aeiouAEIOU").find(noun[0]) == std::string_view::npos ? "a " : "an ";
}

// Plurals and names that begin with a sign or a figure take no article.
bool takes_article(std::string_view phrase) {
  const std::string_view first = phrase.substr(0, phrase.find(' '));
  if (first == "people" || first == "men" || first == "women" || first == "the") return false;
  const char c = first.empty() ? ' ' : first[0];
  if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) return false;
  const char last = phrase.back();
  return last != 's' || phrase.ends_with("ss") || phrase.find(' ') != std::string_view::npos;
}

}  // namespace

std::vector<std::string> emoji_captions(const std::string& name) {
  std::vector<std::string> captions = {name};
  const auto add = [&](std::string caption) {
    if (std::find(captions.begin(), captions.end(), caption) == captions.end())
      captions.push_back(std::move(caption));
  };

  const size_t colon = name.find(": ");
  std::string phrase = name.substr(0, colon);
  if (colon != std::string::npos) {
    constexpr std::string_view kTone = " tone";
    const std::string rest = name.substr(colon + 2);
    if (phrase == "flag") {
      add("flag of " + rest);
      add("the flag of " + rest);
      return captions;
    }
    std::vector<std::string> members, looks;  // who is there; what they look like
    for (std::string& part : split_list(rest)) {
      if (part.ends_with(" skin tone")) {
        looks.push_back(part.substr(0, part.size() - kTone.size()));
      } else if (part == "beard") {
        looks.push_back("a beard");
      } else if (part.ends_with("hair") || part == "bald" || phrase == "keycap") {
        looks.push_back(part == "bald" ? "a bald head" : part);
      } else {
        members.push_back(part);
      }
    }
    if (!members.empty()) phrase += " of " + join_list(members);
    if (!looks.empty()) phrase += " with " + join_list(looks);
    add(phrase);
  }
  if (takes_article(phrase)) add(article(phrase) + phrase);
  return captions;
}

}  // namespace mome
