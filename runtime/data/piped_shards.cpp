#include "runtime/data/piped_shards.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

#include "runtime/data/command.h"
#include "runtime/data/shards.h"
#include "runtime/data/tar.h"

namespace mome {
namespace fs = std::filesystem;

PipedShard::PipedShard(std::string name, PipedShards& pool) : name_(std::move(name)), pool_(pool) {
  MOME_CHECK(is_piped(name_));
}

std::shared_ptr<const RandomFile> PipedShard::open() const { return pool_.open(*this); }

PipedShards::PipedShards(Options options)
    : options_(std::move(options)), kept_limit_(options_.kept) {
  MOME_CHECK(options_.retries >= 0 && options_.kept >= 1);
}

PipedShards::~PipedShards() {
  const Interruption stop(*this);
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  asked_.notify_all();
  if (ahead_thread_.joinable()) ahead_thread_.join();
}

PipedShards::Interruption::Interruption(PipedShards& pool) : pool_(pool) {
  ++pool_.interruptions_;
  const std::lock_guard lock(pool_.mutex_);
  pool_.ahead_.clear();
}
PipedShards::Interruption::~Interruption() { --pool_.interruptions_; }

std::shared_ptr<PipedShard> PipedShards::add(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return {shared_from_this(), &shards_.emplace_back(name, *this)};
}

void PipedShards::keep_at_least(int shards) {
  const std::lock_guard lock(mutex_);
  kept_limit_ = std::max(kept_limit_, shards);
}

std::shared_ptr<const RandomFile> PipedShards::open(const PipedShard& shard) {
  std::unique_lock lock(mutex_);
  while (true) {
    Kept& kept = kept_[&shard];
    kept.used = ++clock_;
    if (kept.file) return kept.file;
    if (!kept.fetching) break;
    fetched_.wait(lock);
  }
  kept_[&shard].fetching = true;
  drop_oldest();  // before the fetch: the limit is one on disk space
  lock.unlock();
  std::shared_ptr<const RandomFile> file;
  std::exception_ptr error;
  try {
    file = fetch(shard);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  Kept& kept = kept_[&shard];
  kept.fetching = false;
  kept.file = file;
  kept.used = ++clock_;
  if (error) kept_.erase(&shard);
  fetched_.notify_all();
  if (error) std::rethrow_exception(error);
  return file;
}

// Leaves room for what is being fetched. Readers keep their file until they are done with it.
void PipedShards::drop_oldest() {
  while (int(kept_.size()) > kept_limit_) {
    auto oldest = kept_.end();
    for (auto i = kept_.begin(); i != kept_.end(); ++i) {
      if (i->second.fetching) continue;
      if (oldest == kept_.end() || i->second.used < oldest->second.used) oldest = i;
    }
    if (oldest == kept_.end()) return;  // more threads fetch than shards are kept
    kept_.erase(oldest);
  }
}

std::shared_ptr<const RandomFile> PipedShards::fetch(const PipedShard& shard) {
  for (int run = 1;; ++run) {
    try {
      return run_once(shard);
    } catch (const Error& e) {
      if (stopped()) throw ShardError(fmt::format("{}: stopped", shard.name()));
      if (run > options_.retries) {
        throw ShardError(fmt::format("{}: failed {} time{}: {}", shard.name(), run,
                                     run == 1 ? "" : "s", e.what()));
      }
      // A server that is busy may not be a moment later.
      std::this_thread::sleep_for(std::chrono::milliseconds(100) * run);
    }
  }
}

std::shared_ptr<const RandomFile> PipedShards::run_once(const PipedShard& shard) {
  const fs::path folder = fs::temp_directory_path();
  std::string name = (folder / "mome_shard_XXXXXX").string();
  const int handle = ::mkostemp(name.data(), O_CLOEXEC);
  if (handle < 0) fail("cannot make a file in {}: {}", folder.string(), std::strerror(errno));
  ::unlink(name.c_str());  // gone with its handle, whatever happens to this process
  uint64_t bytes = 0;
  try {
    ++runs_;
    bytes = run_command(piped_command(shard.name()), handle, [this] { return stopped(); });
    if (shard.bytes() != 0 && bytes != shard.bytes())
      fail("it printed {} bytes, {} when its index was made", bytes, shard.bytes());
  } catch (...) {
    ::close(handle);
    throw;
  }
  auto file = std::make_shared<const RandomFile>(handle, shard.name());
  if (shard.bytes() == 0) index_tar(*file, "its output");  // not cut short?
  return file;
}

void PipedShards::fetch_ahead(const PipedShard& shard) {
  const std::lock_guard lock(mutex_);
  ahead_.push_back(&shard);
  if (!ahead_thread_.joinable()) ahead_thread_ = std::thread([this] { work_ahead(); });
  asked_.notify_one();
}

void PipedShards::work_ahead() {
  std::unique_lock lock(mutex_);
  while (true) {
    asked_.wait(lock, [this] { return ending_ || !ahead_.empty(); });
    if (ending_) return;
    const PipedShard* const shard = ahead_.front();
    ahead_.pop_front();
    lock.unlock();
    try {
      shard->open();
    } catch (const Error&) {
      // Whoever needs the shard runs the command again and is told.
    }
    lock.lock();
  }
}

}  // namespace mome
