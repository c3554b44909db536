#include "runtime/data/shard_index.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/core/error.h"
#include "runtime/data/hash.h"
#include "runtime/io/atomic_file.h"

namespace mome {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

// A list each: the first number says how to read the rest. MessagePack, since captions need not be
// valid UTF-8 and must come back as they were.
constexpr int kVersion = 1;

json to_list(const ShardSample& s) {
  const ImageRef& image = s.record.image;
  return {s.record.key,      image.offset,  image.size, image.member, s.record.captions,
          s.record.keywords, s.record.kind, s.split,    s.problem};
}

ShardSample from_list(const json& list, const std::string& shard) {
  ShardSample s;
  s.record.key = list.at(0);
  s.record.image = {shard, list.at(1), list.at(2), list.at(3)};
  s.record.captions = list.at(4).get<std::vector<std::string>>();
  s.record.keywords = list.at(5).get<std::vector<std::string>>();
  s.record.kind = list.at(6);
  s.split = list.at(7);
  s.problem = list.at(8);
  return s;
}

}  // namespace

std::string index_file(const std::string& folder, const std::string& shard) {
  return (fs::path(folder) / fmt::format("{:016x}.index", hash64(shard))).string();
}

std::optional<ShardIndex> load_index(const std::string& file, const std::string& shard) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return std::nullopt;
  const std::string bytes = read_file(file);
  try {
    const json all = json::from_msgpack(bytes);
    if (all.at(0) != kVersion || all.at(1) != shard) return std::nullopt;
    ShardIndex index;
    index.bytes = all.at(2);
    for (const json& list : all.at(3)) index.samples.push_back(from_list(list, shard));
    return index;
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

void save_index(const ShardIndex& index, const std::string& file, const std::string& shard) {
  json samples = json::array();
  for (const ShardSample& sample : index.samples) samples.push_back(to_list(sample));
  const std::vector<uint8_t> bytes =
      json::to_msgpack(json::array({kVersion, shard, index.bytes, std::move(samples)}));
  write_file_atomic(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

FileLock::FileLock(const std::string& file, bool wait) {
  std::error_code ignored;
  fs::create_directories(fs::path(file).parent_path(), ignored);
  handle_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (handle_ < 0) fail("{}: cannot make it: {}", file, std::strerror(errno));
  int result;
  do {
    result = ::flock(handle_, wait ? LOCK_EX : LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  held_ = result == 0;
  if (wait && !held_) {
    const int error = errno;
    ::close(handle_);
    fail("{}: cannot lock it: {}", file, std::strerror(error));
  }
}

FileLock::~FileLock() { ::close(handle_); }

}  // namespace mome
