#include "kernels/simt/block.h"

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <cerrno>
#include <new>
#include <sstream>

#include "kernels/simt/fault.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace mome::simt {
namespace {

using boost::context::detail::fcontext_t;
using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

constexpr size_t kStack = 64 * 1024, kGuard = 4096;

thread_local Thread* current = nullptr;

// AddressSanitizer must know which stack is in use.
#if defined(__SANITIZE_ADDRESS__)
thread_local void* scheduler_fake = nullptr;
thread_local const void* scheduler_stack = nullptr;
thread_local size_t scheduler_size = 0;
#endif

struct Ended {};  // thrown by fault() to leave a kernel's frames

std::string print(Dim d) {
  std::ostringstream s;
  s << '(' << d.x << ',' << d.y << ',' << d.z << ')';
  return s.str();
}

}  // namespace

// Stacks of one OS thread, kept from block to block. A guard page below each turns an overflow into a signal.
struct Block::Stacks {
  std::vector<char*> list;
  std::vector<std::byte> arena;  // shared memory, kept likewise
  ~Stacks() {
    for (char* s : list) munmap(s, kStack + kGuard);
  }
  char* top(size_t i) {
    while (list.size() <= i) {
      void* p = mmap(nullptr, kStack + kGuard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (p == MAP_FAILED) throw std::bad_alloc();
      mprotect(p, kGuard, PROT_NONE);
      list.push_back(static_cast<char*>(p));
    }
    return list[i] + kGuard + kStack;
  }
};

Thread& self() { return *current; }
bool inside_kernel() { return current != nullptr; }

std::string Block::where(const Thread& t, Site site) const {
  std::ostringstream s;
  s << "kernel " << launch_.name << ", block " << print(index_) << ", thread " << print(t.index) << " (warp " << t.warp << ", lane "
    << t.lane << "), " << site.file_name() << ":" << site.line();
  return s.str();
}

void fault(const std::string& what, Site site) {
  Thread& t = self();
  if (t.block->error_.empty()) t.block->error_ = t.block->where(t, site) + ": " + what;
  throw Ended{};
}

Block::Block(const Launch& launch) : launch_(launch) {
  static thread_local Stacks stacks;  // one block at a time runs on an OS thread
  stacks_ = &stacks;
  if (stacks.arena.size() < launch.shared_limit + 128) stacks.arena.resize(launch.shared_limit + 128);
  arena_ = stacks.arena.data() + (128 - reinterpret_cast<uintptr_t>(stacks.arena.data()) % 128) % 128;
  const size_t n = size_t(launch.block.x) * launch.block.y * launch.block.z;
  threads_.resize(n);
  warps_.resize((n + 31) / 32);
  for (size_t i = 0; i < n; ++i) {
    Thread& t = threads_[i];
    t.number = int(i), t.lane = int(i % 32), t.warp = int(i / 32), t.block = this;
    t.index = {unsigned(i % launch.block.x), unsigned(i / launch.block.x % launch.block.y),
               unsigned(i / launch.block.x / launch.block.y)};
    warps_[i / 32].lanes |= 1u << t.lane;
  }
}
void Block::enter(void* thread) {
  Thread& t = *static_cast<Thread*>(thread);
  try {
    (*t.block->body_)();
  } catch (const Ended&) {
  } catch (const std::exception& e) {
    t.block->error_ = t.block->where(t, Site::current()) + ": " + e.what();
  }
  t.block->exit_thread();
}

namespace {
void trampoline(transfer_t from) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
  Thread* t = current;
  auto* start = reinterpret_cast<void (*)(void*)>(from.data);
  t->context = from.fctx;  // for the first wait: the scheduler
  start(t);
  // The thread is over: back to the scheduler for good.
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, scheduler_stack, scheduler_size);
#endif
  jump_fcontext(fcontext_t(t->context), nullptr);
}
}  // namespace

void Block::run(Dim index, const std::function<void()>& body) {
  index_ = index;
  body_ = &body;
  error_.clear();
  std::memset(arena_, 0xff, launch_.shared_bytes);  // what the last block left there must not look right
  arena_used_ = (launch_.shared_bytes + 15) / 16 * 16;
  statics_.clear();
  random_ = launch_.seed ? launch_.seed ^ (0x9E3779B97F4A7C15u * (1 + index.x + 65536ull * (index.y + 65536ull * index.z))) : 0;
  alive_ = int(threads_.size());
  waiting_ = 0;
  for (Warp& w : warps_) {
    w.exited = ~w.lanes;
    for (Rendezvous& m : w.meetings) m.arrived = 0;
  }
  ready_.clear();
  head_ = 0;
  for (Thread& t : threads_) {
    char* top = stacks_->top(size_t(t.number));
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(top - kStack, kStack);
#endif
    t.context = make_fcontext(top, kStack, trampoline);
    t.wait = nullptr;
    t.access = 0;
    t.copies.clear();
    t.groups.clear();
    ready_.push_back(&t);
  }
  std::vector<bool> started(threads_.size(), false);
  while (Thread* t = next()) {
    current = t;
    t->wait = nullptr;
    const size_t n = size_t(t->number);
    void* data = started[n] ? nullptr : reinterpret_cast<void*>(&Block::enter);
    started[n] = true;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_fake, stacks_->list[n] + kGuard, kStack);
#endif
    const transfer_t back = jump_fcontext(fcontext_t(t->context), data);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
#endif
    t->context = back.fctx;
    current = nullptr;
    if (!error_.empty()) throw Fault("simt: " + error_);
  }
  if (alive_ > 0) deadlock();
  ++counters_.blocks;
  counters_.threads += int64_t(threads_.size());
  if (launch_.count) accesses_.settle(counters_);
}

// Ready threads wait in a queue; with a seed one is drawn from anywhere in it.
Thread* Block::next() {
  if (head_ == ready_.size()) return nullptr;
  if (random_) {
    random_ ^= random_ << 13, random_ ^= random_ >> 7, random_ ^= random_ << 17;  // xorshift64 (Marsaglia 2003)
    std::swap(ready_[head_], ready_[head_ + random_ % (ready_.size() - head_)]);
  }
  Thread* t = ready_[head_++];
  if (head_ == ready_.size()) ready_.clear(), head_ = 0;
  return t;
}

void Block::ready(Thread& t) { ready_.push_back(&t); }

void Block::wait(const char* primitive, Site site) {
  Thread& t = self();
  t.wait = primitive;
  t.site = site;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, scheduler_stack, scheduler_size);
#endif
  const transfer_t back = jump_fcontext(fcontext_t(t.context), nullptr);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_size);
#endif
  current = &t;
  t.context = back.fctx;
}

void Block::release_barrier() {
  waiting_ = 0;
  ++counters_.barriers;
  for (Thread& o : threads_)
    if (o.wait && std::strcmp(o.wait, "__syncthreads") == 0) {
      o.wait = nullptr;
      ready(o);
    }
}

bool Block::left_out(const char* primitive, Site site) {
  Mutation* m = launch_.mutation;
  if (!m) return false;
  SyncSite here{site.file_name(), primitive, site.line()};
  if (m->skip && here == *m->skip) return true;
  if (m->record) m->seen.insert(std::move(here));
  return false;
}

void Block::barrier(Site site) {
  if (launch_.mutation && left_out("__syncthreads", site)) return;
  Thread& t = self();
  t.next_epoch();
  if (waiting_ > 0 && (barrier_site_.line() != site.line() || std::strcmp(barrier_site_.file_name(), site.file_name()) != 0))
    fault("__syncthreads here, but other threads of the block wait at " + std::string(barrier_site_.file_name()) + ":" +
              std::to_string(barrier_site_.line()), site);
  barrier_site_ = site;
  if (++waiting_ == alive_) {
    t.wait = nullptr;
    release_barrier();
    if (!random_) return;
    ready(t);  // who came last need not go first
    wait("released", site);
    return;
  }
  wait("__syncthreads", site);
}

const std::byte* Block::exchange(uint32_t mask, const void* value, size_t bytes, const char* primitive, Site site) {
  Thread& t = self();
  t.next_epoch();
  Warp& w = warps_[size_t(t.warp)];
  if (bytes > kSlotBytes) fault("a collective's value is too large", site);
  if (!(mask >> t.lane & 1)) fault(std::string(primitive) + ": the lane itself is not in the mask", site);
  mask &= w.lanes;  // a warp at the end of a block may have fewer lanes: those do not exist
  if (mask & w.exited & w.lanes) fault(std::string(primitive) + ": a lane of the mask has left the kernel", site);
  Rendezvous* m = nullptr;
  for (Rendezvous& r : w.meetings)
    if (r.mask == mask) m = &r;
  if (!m) {
    w.meetings.push_back({mask, 0, 0, primitive, site, std::make_unique<std::byte[]>(2 * 32 * kSlotBytes)});
    m = &w.meetings.back();
  }
  if (m->arrived == 0) {
    m->phase ^= 1;
    m->primitive = primitive;
    m->site = site;
  } else if (std::strcmp(m->primitive, primitive) != 0 || m->site.line() != site.line() || m->site.column() != site.column()) {
    fault(std::string(primitive) + ": other lanes of the mask wait in " + m->primitive + " at " + m->site.file_name() + ":" +
              std::to_string(m->site.line()), site);
  }
  std::byte* slots = m->slots.get() + size_t(m->phase) * 32 * kSlotBytes;
  if (bytes) std::memcpy(slots + size_t(t.lane) * kSlotBytes, value, bytes);
  m->arrived |= 1u << t.lane;
  if (m->arrived == mask) {
    m->arrived = 0;
    ++counters_.collectives;
    for (int l = 0; l < 32; ++l)
      if ((mask >> l & 1) && l != t.lane) ready(threads_[size_t(t.warp) * 32 + size_t(l)]);
    if (random_) {
      ready(t);
      wait("released", site);
    }
  } else {
    wait(primitive, site);
  }
  return slots;
}

void Block::exit_thread() {
  Thread& t = self();
  t.wait = nullptr;
  --alive_;
  warps_[size_t(t.warp)].exited |= 1u << t.lane;
  if (error_.empty() && alive_ > 0 && waiting_ == alive_) release_barrier();
}

void Block::deadlock() {
  std::ostringstream s;
  s << "simt: kernel " << launch_.name << ", block " << print(index_) << ": no thread can run";
  int shown = 0;
  for (const Thread& t : threads_) {
    if (!t.wait) continue;
    if (++shown > 64) {
      s << "\n  … " << alive_ - 64 << " more";
      break;
    }
    s << "\n  thread " << print(t.index) << " (warp " << t.warp << ", lane " << t.lane << ") -> " << t.wait << " -> "
      << t.site.file_name() << ":" << t.site.line();
  }
  throw Fault(s.str());
}

void* Block::shared(const void* key, size_t bytes, Site site) {
  for (const auto& [k, p] : statics_)
    if (k == key) return p;
  const size_t at = (arena_used_ + 15) / 16 * 16;
  if (at + bytes > launch_.shared_limit)
    fault("shared memory: " + std::to_string(at + bytes) + " bytes are wanted, the architecture has " + std::to_string(launch_.shared_limit), site);
  void* p = arena_ + at;
  std::memset(p, 0xff, bytes);
  arena_used_ = at + bytes;
  statics_.emplace_back(key, p);
  return p;
}

bool Block::in_shared(const void* p, size_t bytes) const {
  const auto* b = static_cast<const std::byte*>(p);
  return b >= arena_ && b + bytes <= arena_ + arena_used_;
}

}  // namespace mome::simt
