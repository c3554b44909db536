#include "runtime/data/shard_samples.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "runtime/core/error.h"
#include "runtime/data/json_fields.h"
#include "runtime/data/paths.h"
#include "runtime/data/tar.h"
#include "runtime/data/trim.h"

namespace mome {
namespace {
constexpr uint64_t kMaxText = 16 << 20;  // bytes: a longer "caption" is a mistake

void add_caption(std::string caption, Record& record) {
  auto& all = record.captions;
  // img2dataset writes the same caption into .txt and .json.
  if (!caption.empty() && std::find(all.begin(), all.end(), caption) == all.end()) {
    all.push_back(std::move(caption));
  }
}

void add_json(const std::string& text, ShardSample& sample) {
  const nlohmann::json object = parse_json(text);
  if (!object.is_object())
    fail("it is of type {}; expected {{\"caption\": ..}}", object.type_name());
  add_caption(string_field(object, "caption"), sample.record);
  for (std::string& caption : list_field(object, "captions")) {
    add_caption(std::move(caption), sample.record);
  }
  sample.record.keywords = list_field(object, "keywords");
  sample.record.kind = string_field(object, "kind");
  sample.split = string_field(object, "split");
}

void add_member(const RandomFile& file, const std::string& shard, const TarMember& member,
                const std::string& ending, ShardSample& sample) {
  if (is_image_ending(ending)) {
    if (member.size == 0) fail("an image of 0 bytes");
    if (sample.record.image.size != 0) fail("a second image of this sample; expected one");
    sample.record.image = {shard, member.offset, member.size, member.name};
  } else if (ending == "webp") {
    fail("WebP cannot be decoded; expected {}", kImageEndings);
  } else if (ending == "txt" || ending == "json") {
    if (member.size > kMaxText)
      fail("{} bytes of text; expected at most {}", member.size, kMaxText);
    std::string text(member.size, '\0');
    file.read(member.offset, member.size, text.data());
    if (ending == "txt") {
      add_caption(trim(text), sample.record);
    } else {
      add_json(text, sample);
    }
  }
}

}  // namespace

std::vector<ShardSample> read_shard(const RandomFile& file, const std::string& shard) {
  std::vector<ShardSample> samples;
  std::unordered_map<std::string, size_t> by_key;
  for (const TarMember& member : index_tar(file, shard)) {
    const size_t slash = member.name.rfind('/');
    const size_t base = slash == std::string::npos ? 0 : slash + 1;
    const size_t dot = member.name.find('.', base);
    if (dot == std::string::npos || dot == base) continue;  // no sample's: "README", ".hidden"
    const std::string key = member.name.substr(0, dot);
    std::string ending = member.name.substr(dot + 1);
    std::transform(ending.begin(), ending.end(), ending.begin(),
                   [](unsigned char c) { return char(std::tolower(c)); });
    const auto [it, fresh] = by_key.emplace(key, samples.size());
    if (fresh) {
      samples.emplace_back();
      samples.back().record.key = key;
    }
    ShardSample& sample = samples[it->second];
    try {
      add_member(file, shard, member, ending, sample);
    } catch (const Error& e) {
      if (sample.problem.empty()) {
        sample.problem = fmt::format("{}: member {}: {}", shard, member.name, e.what());
      }
    }
  }
  for (ShardSample& sample : samples) {
    if (sample.problem.empty() && sample.record.image.size == 0) {
      sample.problem = fmt::format("{}: sample {}: no image; expected a member {}", shard,
                                   sample.record.key, kImageEndings);
    }
  }
  return samples;
}

}  // namespace mome
