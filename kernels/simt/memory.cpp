#include "kernels/simt/memory.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <shared_mutex>
#include <string>

#include "kernels/simt/fault.h"

namespace mome::simt {
namespace {

constexpr size_t kRedZone = 256;
constexpr unsigned char kPoison = 0xff, kRed = 0xa5;

struct Heap {
  std::shared_mutex mutex;
  std::map<uintptr_t, size_t> blocks;  // address -> bytes
  size_t bytes = 0;
  std::atomic<uint64_t> version = 0;  // changes with every release: cached look-ups are then void
};
Heap& heap() {
  static Heap h;
  return h;
}

bool intact(const unsigned char* zone) {
  for (size_t i = 0; i < kRedZone; ++i)
    if (zone[i] != kRed) return false;
  return true;
}

}  // namespace

void* allocate(size_t bytes) {
  const size_t rounded = (bytes + 255) / 256 * 256;
  auto* raw = static_cast<unsigned char*>(std::aligned_alloc(256, rounded + 2 * kRedZone));
  if (!raw) throw std::bad_alloc();
  std::memset(raw, kRed, kRedZone);
  unsigned char* block = raw + kRedZone;
  std::memset(block, kPoison, bytes);
  // The zone behind begins at the block's last byte, not at its rounded end.
  std::memset(block + bytes, kRed, rounded - bytes + kRedZone);
  Heap& h = heap();
  std::unique_lock lock(h.mutex);
  h.blocks[uintptr_t(block)] = bytes;
  h.bytes += bytes;
  return block;
}

void release(void* block) {
  if (!block) return;
  Heap& h = heap();
  size_t bytes = 0;
  {
    std::unique_lock lock(h.mutex);
    const auto it = h.blocks.find(uintptr_t(block));
    if (it == h.blocks.end()) throw Fault("simt: release of memory that is not a live device block");
    bytes = it->second;
    h.blocks.erase(it);
    h.bytes -= bytes;
    ++h.version;
  }
  auto* p = static_cast<unsigned char*>(block);
  const bool before = intact(p - kRedZone), after = intact(p + bytes);
  std::memset(p, kPoison, bytes);
  std::free(p - kRedZone);
  if (!before || !after)
    throw Fault("simt: memory " + std::string(before ? "behind" : "in front of") + " a device block of " +
                std::to_string(bytes) + " bytes was overwritten");
}

bool is_device_memory(const void* p, size_t bytes) {
  struct Last {
    uintptr_t begin = 0, end = 0;
    uint64_t version = ~uint64_t{0};
  };
  static thread_local Last last;  // kernels walk along one or two arrays
  Heap& h = heap();
  const uintptr_t address = uintptr_t(p);
  if (last.version == h.version && address >= last.begin && address + bytes <= last.end) return true;
  std::shared_lock lock(h.mutex);
  auto it = h.blocks.upper_bound(address);
  if (it == h.blocks.begin()) return false;
  --it;
  if (address + bytes > it->first + it->second) return false;
  last = {it->first, it->first + it->second, h.version};
  return true;
}

size_t allocated() {
  Heap& h = heap();
  std::shared_lock lock(h.mutex);
  return h.bytes;
}

}  // namespace mome::simt
