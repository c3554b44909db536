// The simt device's queue: what cuda::Queue is for a GPU, with the same members, so that a launcher is written once.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <tuple>

#include "kernels/simt/block.h"
#include "kernels/simt/memory.h"

namespace mome::simt {

/// Whose fragment layouts, shared memory and instructions are played.
enum class Architecture : uint8_t { kVolta = 70, kTuring = 75, kAmpere = 80 };

struct Options {
  Architecture architecture = Architecture::kAmpere;
  uint64_t seed = 0;   // order of threads: 0 natural, else drawn
  bool lazy = false;   // work runs only when a synchronisation or an event asks for it
  bool count = false;  // collect counters()
  Mutation* mutation = nullptr;
};

class Queue;

/// A point in a queue's work; another queue can wait for it.
struct Event {
  Queue* queue = nullptr;
  uint64_t position = 0;
};

class Queue {
 public:
  explicit Queue(const Options& options = {}) : options_(options) {}
  ~Queue();
  Queue(const Queue&) = delete;

  static void* allocate(size_t bytes) { return simt::allocate(bytes); }
  static void release(void* block) { simt::release(block); }

  /// kernel<<<grid, block, shared_bytes>>>(arguments…). `name` appears in faults and counters. An empty grid is no launch.
  template <class... P, class... A>
  void launch(const char* name, void (*kernel)(P...), Dim grid, Dim block, size_t shared_bytes, const A&... arguments) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
    Launch l{name, grid, block, shared_bytes, shared_limit(), options_.seed, options_.count, options_.mutation};
    const std::tuple<P...> values{P(arguments)...};
    push([l, kernel, values] {
      run_grid(l, [&] { std::apply(kernel, values); });
    });
  }

  void copy(void* to, const void* from, size_t bytes);            // device to device
  void upload(void* device, const void* host, size_t bytes);      // the host memory may be reused on return
  void download(void* host, const void* device, size_t bytes);    // waits
  void fill(void* device, unsigned char byte, size_t bytes);
  /// Scratch of this queue's next operations: valid until the next call that wants more.
  void* workspace(size_t bytes);

  Event record();
  void wait(Event event);
  void synchronize();

  int compute_capability() const { return int(options_.architecture); }
  int multiprocessors() const { return 4; }  // small: several waves of blocks are played
  size_t shared_limit() const;               // bytes a block may use
  const Options& options() const { return options_; }

  /// Host work in the order of the queue (products that a GPU would leave to a library).
  void push(std::function<void()> work);

 private:
  static void run_grid(const Launch& launch, const std::function<void()>& body);
  void run_until(uint64_t position);

  Options options_;
  std::deque<std::function<void()>> work_;
  uint64_t done_ = 0, queued_ = 0;
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;
};

}  // namespace mome::simt
