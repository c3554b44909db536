// What the interpreter counts, per kernel name: the figures a profiler shows first, so that a kernel can be judged on a
// laptop. A request is one access of a warp (its lanes that made their n-th access at one place in the source); a
// sector is 32 bytes of global memory, and `ideal_sectors` is what the same bytes would need if they lay side by side;
// a wavefront is one pass over the 32 banks of shared memory (1 per request without conflicts).
#pragma once
#include <cstdint>
#include <map>
#include <source_location>
#include <string>
#include <vector>

namespace mome::simt {

struct Counters {
  int64_t launches = 0, blocks = 0, threads = 0;
  int64_t barriers = 0, collectives = 0, mma = 0;
  int64_t global_requests = 0, global_sectors = 0, ideal_sectors = 0;
  int64_t shared_requests = 0, shared_wavefronts = 0;
  void add(const Counters& other);
};

/// Accesses of one block, grouped into requests when the block ends.
class AccessLog {
 public:
  void global(int warp, int lane, const void* p, uint32_t bytes, const std::source_location& site);
  void shared(int warp, uint32_t sequence, const void* p, uint32_t bytes);
  /// Adds the requests to c and forgets the accesses.
  void settle(Counters& c);

 private:
  struct Access {
    uint64_t request;  // warp, place and occurrence
    uintptr_t address;
    uint32_t bytes;
  };
  std::vector<Access> global_, shared_;
  std::map<std::tuple<int, int, uint32_t, uint32_t>, uint32_t> occurrence_;  // warp, lane, line, column
};

/// Totals of all counted launches since the last reset, by kernel name.
std::map<std::string, Counters> counters();
void reset_counters();
void add_counters(const std::string& kernel, const Counters& c);

}  // namespace mome::simt
