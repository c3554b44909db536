#include "kernels/simt/queue.h"

#include <omp.h>

#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "kernels/simt/fault.h"
#include "kernels/simt/memory.h"

namespace mome::simt {
namespace {

void check(const void* p, size_t bytes, const char* what) {
  if (bytes && !is_device_memory(p, bytes)) throw Fault(std::string("simt: ") + what + ": " + std::to_string(bytes) + " bytes outside every device block");
}

}  // namespace

Queue::~Queue() {
  try {
    synchronize();
    release(workspace_);
  } catch (const std::exception&) {  // was reported to whoever waited, or the program ends by another error
  }
}

size_t Queue::shared_limit() const {
  switch (options_.architecture) {
    case Architecture::kVolta: return 96 * 1024;
    case Architecture::kTuring: return 64 * 1024;
    case Architecture::kAmpere: return 163 * 1024;
  }
  return 0;
}

void Queue::push(std::function<void()> work) {
  ++queued_;
  if (!options_.lazy) {
    ++done_;
    work();
    return;
  }
  work_.push_back(std::move(work));
}

void Queue::run_until(uint64_t position) {
  while (done_ < position) {
    auto work = std::move(work_.front());
    work_.pop_front();
    ++done_;
    work();
  }
}

Event Queue::record() { return {this, queued_}; }
void Queue::wait(Event event) {
  if (event.queue == this) return;
  push([event] { event.queue->run_until(event.position); });
}
void Queue::synchronize() { run_until(queued_); }

void Queue::copy(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return;
  push([=] {
    check(to, bytes, "copy to");
    check(from, bytes, "copy from");
    std::memmove(to, from, bytes);
  });
}
void Queue::upload(void* device, const void* host, size_t bytes) {
  if (bytes == 0) return;
  if (!options_.lazy) {
    push([=] {
      check(device, bytes, "upload to");
      std::memcpy(device, host, bytes);
    });
    return;
  }
  std::vector<char> staged(static_cast<const char*>(host), static_cast<const char*>(host) + bytes);
  push([=, staged = std::move(staged)] {
    check(device, bytes, "upload to");
    std::memcpy(device, staged.data(), bytes);
  });
}
void Queue::download(void* host, const void* device, size_t bytes) {
  synchronize();
  if (bytes == 0) return;
  check(device, bytes, "download from");
  std::memcpy(host, device, bytes);
}
void Queue::fill(void* device, unsigned char byte, size_t bytes) {
  if (bytes == 0) return;
  push([=] {
    check(device, bytes, "fill");
    std::memset(device, byte, bytes);
  });
}

void* Queue::workspace(size_t bytes) {
  if (bytes > workspace_bytes_) {
    synchronize();
    release(workspace_);
    workspace_ = nullptr;
    workspace_ = allocate(bytes);
    workspace_bytes_ = bytes;
  }
  return workspace_;
}

// Blocks are independent: they are spread over the cores, and each one's schedule depends on its index alone.
void Queue::run_grid(const Launch& launch, const std::function<void()>& body) {
  if (launch.shared_bytes > launch.shared_limit)
    throw Fault("simt: kernel " + std::string(launch.name) + ": " + std::to_string(launch.shared_bytes) +
                " bytes of shared memory are wanted, the architecture has " + std::to_string(launch.shared_limit));
  const int64_t threads = int64_t(launch.block.x) * launch.block.y * launch.block.z;
  if (threads < 1 || threads > 1024)
    throw Fault("simt: kernel " + std::string(launch.name) + ": " + std::to_string(threads) + " threads a block; 1 to 1024 are possible");
  const int64_t n = int64_t(launch.grid.x) * launch.grid.y * launch.grid.z;
  Counters total;
  std::exception_ptr error;
  int64_t error_block = n;
#pragma omp parallel if (n > 1 && !launch.mutation)
  {
    Block block(launch);
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < n; ++i) {
      if (i > error_block) continue;
      try {
        block.run({unsigned(i % launch.grid.x), unsigned(i / launch.grid.x % launch.grid.y), unsigned(i / launch.grid.x / launch.grid.y)}, body);
      } catch (...) {
#pragma omp critical(mome_simt_grid)
        if (i < error_block) error_block = i, error = std::current_exception();
      }
    }
    if (launch.count) {
#pragma omp critical(mome_simt_grid)
      total.add(block.counters());
    }
  }
  if (launch.count) {
    total.launches = 1;
    add_counters(launch.name, total);
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace mome::simt
