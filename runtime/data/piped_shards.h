// Tar shards that commands print ("pipe:aws s3 cp s3://bucket/0001.tar -"): a command is run when
// its shard is looked at, and what it printed is kept in a file without a name while the shard is
// in use, in the folder that TMPDIR names, else the system's. At most `kept` shards are on disk at
// once, the latest used.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "runtime/core/error.h"
#include "runtime/data/read_bytes.h"

namespace mome {

/// A shard that cannot be had at all: unlike a broken picture it ends the run.
class ShardError : public Error {
 public:
  using Error::Error;
};

class PipedShards;

class PipedShard {
 public:
  PipedShard(std::string name, PipedShards& pool);  // PipedShards::add makes them

  const std::string& name() const { return name_; }  // "pipe:COMMAND"
  PipedShards& pool() const { return pool_; }
  /// How many bytes the command must print; 0: not known yet.
  uint64_t bytes() const { return bytes_; }
  void set_bytes(uint64_t bytes) { bytes_ = bytes; }

  /// The shard's bytes, fetched unless they are there. Throws ShardError (PipedShards::open).
  /// Thread-safe.
  std::shared_ptr<const RandomFile> open() const;

 private:
  const std::string name_;
  PipedShards& pool_;
  uint64_t bytes_ = 0;
};

/// Held by shared pointers: each of its shards keeps all of it alive.
class PipedShards : public std::enable_shared_from_this<PipedShards> {
 public:
  struct Options {
    int retries = 2;  // further runs of a command that failed
    int kept = 4;     // shards on disk at once, at least; keep_at_least() raises it
  };
  explicit PipedShards(Options options);
  ~PipedShards();
  PipedShards(const PipedShards&) = delete;
  PipedShards& operator=(const PipedShards&) = delete;

  /// A new shard, named "pipe:COMMAND".
  std::shared_ptr<PipedShard> add(const std::string& name);

  /// What the command of `shard` prints. A command that fails, or prints another number of bytes
  /// than shard.bytes() where that is known, is run again, at most `retries` times; then ShardError
  /// names it, with its exit status and the last lines of its standard error. Two threads that want
  /// the same shard wait for one run.
  std::shared_ptr<const RandomFile> open(const PipedShard& shard);

  /// Has the shard fetched by a thread of its own, so that open() finds it. Errors are open()'s.
  void fetch_ahead(const PipedShard& shard);

  /// Room for at least so many shards on disk.
  void keep_at_least(int shards);

  /// While it exists, running commands are killed and new ones refused: open() throws ShardError;
  /// what fetch_ahead() was asked for and has not begun is forgotten. For a loader that is given up
  /// while a slow command runs.
  class Interruption {
   public:
    explicit Interruption(PipedShards& pool);
    ~Interruption();
    Interruption(const Interruption&) = delete;
    Interruption& operator=(const Interruption&) = delete;

   private:
    PipedShards& pool_;
  };

  int64_t runs() const { return runs_; }  // commands run so far

 private:
  struct Kept {
    std::shared_ptr<const RandomFile> file;
    bool fetching = false;
    uint64_t used = 0;  // when; the smallest goes first
  };

  std::shared_ptr<const RandomFile> fetch(const PipedShard& shard);
  std::shared_ptr<const RandomFile> run_once(const PipedShard& shard);
  void drop_oldest();
  void work_ahead();
  bool stopped() const { return interruptions_ > 0; }

  const Options options_;
  std::mutex mutex_;
  std::deque<PipedShard> shards_;  // whose addresses stay
  std::condition_variable fetched_, asked_;
  int kept_limit_;
  uint64_t clock_ = 0;
  std::unordered_map<const PipedShard*, Kept> kept_;
  std::deque<const PipedShard*> ahead_;
  std::thread ahead_thread_;
  bool ending_ = false;
  std::atomic<int> interruptions_ = 0;
  std::atomic<int64_t> runs_ = 0;
};

}  // namespace mome
