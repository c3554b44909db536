// The execution model of one CUDA block: a fiber per thread, warps of 32 with rendezvous for `*_sync` collectives, one
// barrier, shared memory from an arena that is poisoned with NaN when the block starts. Threads run until they wait;
// which ready thread goes next is drawn from a seed (0: in order), so that a missing barrier shows in some schedule.
// A wait that cannot end is reported as a list: thread, primitive, file, line.
//
// A switch costs 25-30 ns, a warp collective under 1 us, a barrier of 256 threads under 10 us.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <source_location>
#include <string>
#include <vector>

#include "kernels/simt/counters.h"

namespace mome::simt {

using Site = std::source_location;

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

/// A synchronisation in the source, as the mutation test names it: which primitive stands where.
struct SyncSite {
  std::string file, primitive;
  unsigned line = 0;
  auto operator<=>(const SyncSite&) const = default;
};
/// Records the synchronisations that kernels pass, and leaves one of them out: __syncthreads, __syncwarp, and the waits
/// of cp.async. A kernel that still gives the right result under every schedule did not need it, or is not tested.
struct Mutation {
  std::set<SyncSite> seen = {};      // with record = true
  bool record = false;
  const SyncSite* skip = nullptr;
};

struct Launch {
  const char* name = "";
  Dim grid, block;
  size_t shared_bytes = 0;      // dynamic shared memory
  size_t shared_limit = 232448;  // static + dynamic, of the architecture that is played
  uint64_t seed = 0;            // 0: threads in order
  bool count = false;
  Mutation* mutation = nullptr;  // blocks then run one after the other
};

class Block;

/// One CUDA thread.
struct Thread {
  Dim index;
  int number = 0, lane = 0, warp = 0;
  Block* block = nullptr;
  void* context = nullptr;
  const char* wait = nullptr;  // the primitive it waits in, null: runs
  Site site;
  uint32_t access = 0;  // number of its next shared-memory access; lanes meet again at each synchronisation
  void next_epoch() { access = ((access >> 10) + 1) << 10; }
  struct PendingCopy {
    void* to;
    const void* from;
    size_t bytes;
  };
  std::vector<PendingCopy> copies;       // cp.async, not yet committed
  std::vector<std::vector<PendingCopy>> groups;  // committed, not yet waited for
};

/// The thread that runs now; only inside a kernel.
Thread& self();
/// Whether a kernel runs on this OS thread.
bool inside_kernel();

/// Ends the block with a report that names kernel, block, thread and place.
[[noreturn]] void fault(const std::string& what, Site site);

class Block {
 public:
  static constexpr size_t kSlotBytes = 192;

  explicit Block(const Launch& launch);
  /// Runs `body` in every thread of the block `index`.
  void run(Dim index, const std::function<void()>& body);

  /// Whether the mutation leaves this synchronisation out.
  bool left_out(const char* primitive, Site site);

  /// Whether this schedule's asynchronous copies land at once instead of when they are waited for.
  bool early_copies() const { return launch_.seed % 2 == 1; }

  /// __syncthreads.
  void barrier(Site site);
  /// Rendezvous of the lanes of `mask`; each lane leaves `bytes` of `value`, the result points to 32 slots of kSlotBytes.
  /// Valid until the lane's next rendezvous but one.
  const std::byte* exchange(uint32_t mask, const void* value, size_t bytes, const char* primitive, Site site);

  /// Static shared memory of the declaration `key`; the same bytes for every thread.
  void* shared(const void* key, size_t bytes, Site site);
  void* dynamic_shared() const { return arena_; }
  size_t dynamic_bytes() const { return launch_.shared_bytes; }
  bool in_shared(const void* p, size_t bytes) const;

  const Launch& launch() const { return launch_; }
  Dim index() const { return index_; }
  Counters& counters() { return counters_; }
  AccessLog& accesses() { return accesses_; }

 private:
  friend void fault(const std::string&, Site);
  struct Rendezvous {
    uint32_t mask = 0, arrived = 0;
    int phase = 0;
    const char* primitive = nullptr;
    Site site;
    std::unique_ptr<std::byte[]> slots;  // [2][32][kSlotBytes]
  };
  struct Warp {
    uint32_t lanes = 0, exited = 0;
    std::vector<Rendezvous> meetings;
  };
  struct Stacks;

  static void enter(void* thread);
  void wait(const char* primitive, Site site);  // gives the processor away until made ready again
  void ready(Thread& t);
  Thread* next();
  void exit_thread();
  void release_barrier();
  [[noreturn]] void deadlock();
  std::string where(const Thread& t, Site site) const;

  Launch launch_;
  Dim index_;
  const std::function<void()>* body_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  Stacks* stacks_ = nullptr;   // this OS thread's
  std::vector<Thread*> ready_;
  size_t head_ = 0;
  uint64_t random_ = 0;
  int alive_ = 0, waiting_ = 0;
  Site barrier_site_;
  void* scheduler_ = nullptr;
  std::string error_;
  std::byte* arena_ = nullptr;
  size_t arena_used_ = 0;
  std::vector<std::pair<const void*, void*>> statics_;
  Counters counters_;
  AccessLog accesses_;
};

}  // namespace mome::simt
