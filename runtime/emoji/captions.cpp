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

// Plurals ("crossed fingers", "people holding hands") and names that begin with a sign or a figure
// take none. The noun is what stands before "with" or "of".
bool takes_article(std::string_view phrase) {
  const std::string_view noun =
      phrase.substr(0, std::min({phrase.find(" with "), phrase.find(" of "), phrase.size()}));
  const std::string_view first = noun.substr(0, noun.find(' '));
  const char c = first.empty() ? ' ' : first[0];
  if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) return false;
  if (first == "people" || first == "men" || first == "women" || first == "the") return false;
  if (first == "person" || first == "man" || first == "woman") return true;
  return !noun.ends_with('s') || noun.ends_with("ss") || noun.ends_with("us") ||
         noun.ends_with("is");
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
