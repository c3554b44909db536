// A CUDA stream with what operations need around it. The members are simt::Queue's, so that a
// launcher is written once; compiled only into programs with the cuda device (MOME_CUDA).
//
// Errors are std::runtime_error with the call, CUDA's name of the error and its text; a launch's
// also name the kernel, its grid, block and shared memory. CUDA reports a fault inside a kernel at
// a later call: the text names the last launch.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace mome::cuda {

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

/// GPUs that this process can use; 0 without a driver. Never throws.
int device_count() noexcept;
/// "13.0": of the toolkit that this program was built with.
std::string toolkit_version();

/// Throws if a call failed. Use: MOME_CUDA_CALL(cudaFoo(…)).
void check(cudaError_t result, const char* call);
#define MOME_CUDA_CALL(call) ::mome::cuda::check((call), #call)

struct Options {
  bool ranges = false;  // an NVTX range around each launch and operation, for Nsight (needs nvtx3's
                        // headers at build time)
};

class Queue;
class Staging;
struct Blas;

/// A point in a queue's work; another queue can wait for it.
class Event {
 public:
  Event() = default;
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept { return std::swap(event_, other.event_), *this; }
  ~Event();

 private:
  friend class Queue;
  cudaEvent_t event_ = nullptr;
};

/// Work that was captured from a queue, to be launched again with the same pointers at the cost of
/// one launch.
class Graph {
 public:
  Graph() = default;
  Graph(Graph&& other) noexcept : graph_(std::exchange(other.graph_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept { return std::swap(graph_, other.graph_), *this; }
  ~Graph();
  explicit operator bool() const { return graph_; }
  void launch(Queue& queue);

 private:
  friend class Queue;
  cudaGraphExec_t graph_ = nullptr;
};

class Queue {
 public:
  /// Throws where there is no such GPU, its driver is too old, or this program holds no code for
  /// it.
  explicit Queue(int device = 0, const Options& options = {});
  ~Queue();
  Queue(const Queue&) = delete;

  /// 256-byte aligned; uninitialised. Waits for the device, as release() does.
  void* allocate(size_t bytes);
  void release(void* block);

#if defined(__CUDACC__)
  /// kernel<<<grid, block, shared_bytes>>>(arguments…). `name` appears in errors and NVTX. An empty
  /// grid is no launch.
  template <class... P, class... A>
  void launch(const char* name, void (*kernel)(P...), Dim grid, Dim block, size_t shared_bytes,
              const A&... arguments) {
    std::tuple<P...> values{P(arguments)...};
    std::apply(
        [&](P&... value) {
          void* pointers[] = {static_cast<void*>(&value)..., nullptr};
          launch_kernel(name, reinterpret_cast<const void*>(kernel), grid, block, shared_bytes,
                        pointers);
        },
        values);
  }
#endif

  void copy(void* to, const void* from, size_t bytes);  // device to device
  void upload(void* device, const void* host,
              size_t bytes);  // the host memory may be reused on return
  void download(void* host, const void* device, size_t bytes);  // waits
  void fill(void* device, unsigned char byte, size_t bytes);
  /// Scratch of this queue's next operations: valid until the next call that wants more. An error
  /// where it would have to grow during a capture.
  void* workspace(size_t bytes);

  Event record();
  /// Time between two events of this queue; waits for the second.
  double elapsed_ms(const Event& start, const Event& end);
  void wait(const Event& event);
  void synchronize();

  /// What is queued between the two calls is not run but kept. Allocations, uploads, downloads and
  /// waiting are errors between them.
  void begin_capture();
  Graph end_capture();
  bool capturing() const { return capturing_; }

  /// Bytes that a GPU's memory still has.
  size_t free_memory();
  int compute_capability() const { return compute_capability_; }  // 80 for 8.0
  int multiprocessors() const { return multiprocessors_; }
  size_t shared_limit() const { return shared_limit_; }  // bytes a block may use
  int device() const { return device_; }
  const std::string& gpu_name() const { return gpu_name_; }
  const Options& options() const { return options_; }

  /// For libraries that queue their own work.
  cudaStream_t stream() const { return stream_; }
  /// Makes this queue's GPU the calling thread's; every member does so itself.
  void make_current();
  /// The BLAS's state of this queue (kernels/cuda/gemm.cpp).
  std::shared_ptr<Blas>& blas() { return blas_; }

 private:
  friend class Graph;
  void launch_kernel(const char* name, const void* kernel, Dim grid, Dim block, size_t shared_bytes,
                     void** arguments);
  void not_while_capturing(const char* what) const;
  void close() noexcept;

  int device_ = 0;
  Options options_;
  cudaStream_t stream_ = nullptr;
  int compute_capability_ = 0, multiprocessors_ = 0;
  size_t shared_limit_ = 0;
  std::string gpu_name_;
  const char* last_launch_ = nullptr;
  bool capturing_ = false;
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;
  std::unordered_map<const void*, size_t>
      shared_opt_in_;  // dynamic shared memory that a kernel was allowed
  std::unique_ptr<Staging> staging_;
  std::shared_ptr<Blas> blas_;
};

/// An NVTX range as long as the object lives; nothing unless the queue's option `ranges` is set.
class Range {
 public:
  Range(const Queue& queue, const char* name);
  ~Range();
  Range(const Range&) = delete;

 private:
  bool open_;
};

}  // namespace mome::cuda
