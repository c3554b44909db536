// WebDataset tar shards: what is in them is read now, images later, by their offset. Files are read
// by their headers alone; the command of a piped shard is run, unless a former run kept its index.
#include <memory>
#include <optional>
#include <utility>

#include "runtime/core/error.h"
#include "runtime/data/piped_shards.h"
#include "runtime/data/readers.h"
#include "runtime/data/shard_index.h"
#include "runtime/data/shard_samples.h"
#include "runtime/data/shards.h"

namespace mome {
namespace {

struct Reading {
  std::string name;
  std::shared_ptr<PipedShard> piped;  // null for a file
  std::optional<std::vector<ShardSample>> samples;
  std::string error;
};

ShardIndex make_index(const PipedShard& shard) {
  const std::shared_ptr<const RandomFile> bytes = shard.open();
  return {bytes->size(), read_shard(*bytes, shard.name())};
}

// The index of a shard, from its file or made now; nothing if another process is making it and
// `wait` is false.
std::optional<ShardIndex> index_of(const PipedShard& shard, const std::string& folder, bool wait) {
  if (folder.empty()) return make_index(shard);
  const std::string file = index_file(folder, shard.name());
  if (std::optional<ShardIndex> index = load_index(file, shard.name())) return index;
  const FileLock lock(file + ".lock", wait);
  if (!lock.held()) return std::nullopt;
  if (std::optional<ShardIndex> index = load_index(file, shard.name())) return index;
  const ShardIndex index = make_index(shard);
  save_index(index, file, shard.name());
  return index;
}

// Leaves it unread if another process is at it and `wait` is false.
void read_piped(Reading& shard, const std::string& folder, bool wait) {
  std::optional<ShardIndex> index = index_of(*shard.piped, folder, wait);
  if (!index) return;
  shard.piped->set_bytes(index->bytes);
  shard.samples = std::move(index->samples);
}

void read_one(Reading& shard, const std::string& folder, bool wait) {
  try {
    if (shard.piped) {
      read_piped(shard, folder, wait);
    } else {
      shard.samples = read_shard(RandomFile(shard.name), shard.name);
    }
  } catch (const Error& e) {
    shard.error = e.what();
  }
}

void check(const std::vector<Reading>& shards, const std::string& source) {
  std::string list;
  size_t broken = 0;
  for (const Reading& shard : shards) {
    if (shard.error.empty()) continue;
    ++broken;
    list += "\n  " + shard.error;
  }
  if (broken == 1) fail("{}", list.substr(3));
  if (broken > 0)
    fail("{}: {} of {} shards cannot be read:{}", source, broken, shards.size(), list);
}

void hand_over(Reading& shard, Collector& out) {
  for (ShardSample& sample : *shard.samples) {
    if (!sample.problem.empty()) {
      out.bad(std::move(sample.problem));
      continue;
    }
    sample.record.image.shard = shard.piped;
    const std::string place = fmt::format("{}: sample {}", shard.name, sample.record.key);
    out.add(std::move(sample.record), sample.split, place);
  }
  shard.samples.reset();
}

}  // namespace

void read_webdataset(const std::string& source, const DatasetOptions& options, Collector& out) {
  const std::vector<std::string> names = expand_shards(source);
  std::shared_ptr<PipedShards> pool;
  std::vector<Reading> shards(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    shards[i].name = names[i];
    if (!is_piped(names[i])) continue;
    if (!pool) {
      PipedShards::Options piped;
      piped.retries = options.retries;
      pool = std::make_shared<PipedShards>(piped);
    }
    shards[i].piped = pool->add(names[i]);
  }
  // Ranks on one machine share the work of a first start: each takes the shards that no other is
  // at, and waits for the rest when there are no more of these.
  for (const bool wait : {false, true}) {
    for (Reading& shard : shards) {
      if (!shard.samples && shard.error.empty()) read_one(shard, options.index_cache, wait);
    }
  }
  check(shards, source);
  for (Reading& shard : shards) hand_over(shard, out);
}

}  // namespace mome
