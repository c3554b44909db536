#include "kernels/cuda/queue.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/cuda/architectures.h"
#include "kernels/cuda/staging.h"

#if __has_include(<nvtx3/nvToolsExt.h>)
#include <nvtx3/nvToolsExt.h>
#define MOME_NVTX 1
#endif

#if !defined(MOME_CUDA_ARCHITECTURES)
#define MOME_CUDA_ARCHITECTURES ""
#endif

namespace mome::cuda {
namespace {

std::string text_of(cudaError_t e) {
  return std::string(cudaGetErrorName(e)) + " (" + cudaGetErrorString(e) + ")";
}
std::string version(int v) {
  return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10);
}
std::string mib(size_t bytes) {
  return std::to_string((bytes + (size_t{1} << 20) - 1) >> 20) + " MiB";
}
std::string capability(int cc) { return std::to_string(cc / 10) + "." + std::to_string(cc % 10); }
std::string dim(Dim d) {
  return "(" + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z) + ")";
}

thread_local int t_current = -1;  // the GPU of this thread

/// The reason why there is no GPU to use.
std::string no_gpu(cudaError_t e) {
  int driver = 0, built = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&built);
  if (driver == 0)
    return "there is no NVIDIA driver on this machine, or no GPU that it serves: " + text_of(e);
  if (e == cudaErrorInsufficientDriver || driver < built)
    return "the NVIDIA driver is too old: it serves CUDA " + version(driver) +
           ", this program was built with CUDA " + version(built) + ": " + text_of(e);
  if (e == cudaErrorNoDevice)
    return "there is no GPU on this machine (the driver serves CUDA " + version(driver) + ")";
  return "the GPUs cannot be asked for: " + text_of(e);
}

int attribute(cudaDeviceAttr a, int device) {
  int value = 0;
  MOME_CUDA_CALL(cudaDeviceGetAttribute(&value, a, device));
  return value;
}

}  // namespace

std::string toolkit_version() {
  return std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
}

int device_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();  // or the next call would report it
    return 0;
  }
  return count;
}

void check(cudaError_t result, const char* call) {
  if (result == cudaSuccess) return;
  cudaGetLastError();
  throw std::runtime_error("cuda: " + std::string(call) + ": " + text_of(result));
}

Event::~Event() {
  if (event_) cudaEventDestroy(event_);
}

Graph::~Graph() {
  if (graph_) cudaGraphExecDestroy(graph_);
}
void Graph::launch(Queue& queue) {
  if (!graph_) throw std::logic_error("cuda: launch of an empty graph");
  queue.make_current();
  const Range range(queue, "graph");
  queue.last_launch_ = "of a graph";
  MOME_CUDA_CALL(cudaGraphLaunch(graph_, queue.stream_));
}

Queue::Queue(int device, const Options& options) : device_(device), options_(options) {
  int count = 0;
  const cudaError_t e = cudaGetDeviceCount(&count);
  if (e != cudaSuccess || count == 0) {
    cudaGetLastError();
    throw std::runtime_error("cuda: " + no_gpu(e == cudaSuccess ? cudaErrorNoDevice : e));
  }
  if (device < 0 || device >= count)
    throw std::runtime_error("cuda: GPU " + std::to_string(device) + " is wanted, there are " +
                             std::to_string(count) + ", counted from 0");
  cudaDeviceProp properties;
  MOME_CUDA_CALL(cudaGetDeviceProperties(&properties, device));
  gpu_name_ = properties.name;
  compute_capability_ = properties.major * 10 + properties.minor;
  multiprocessors_ = properties.multiProcessorCount;
  shared_limit_ = size_t(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  if (!runs_on(MOME_CUDA_ARCHITECTURES, compute_capability_))
    throw std::runtime_error(
        "cuda: GPU " + std::to_string(device) + " (" + gpu_name_ + ") has compute capability " +
        capability(compute_capability_) +
        ", this program was built for the architectures " MOME_CUDA_ARCHITECTURES
        "; configure with -DCMAKE_CUDA_ARCHITECTURES=" +
        std::to_string(compute_capability_));
  make_current();
  MOME_CUDA_CALL(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
}

Queue::~Queue() { close(); }

// Errors were reported to whoever waited, or the program ends by another one.
void Queue::close() noexcept {
  cudaSetDevice(device_);
  t_current = device_;
  if (capturing_) {
    cudaGraph_t dropped = nullptr;
    cudaStreamEndCapture(stream_, &dropped);
    if (dropped) cudaGraphDestroy(dropped);
  }
  cudaStreamSynchronize(stream_);
  blas_.reset();
  staging_.reset();
  cudaFree(workspace_);
  cudaStreamDestroy(stream_);
  cudaGetLastError();
}

void Queue::make_current() {
  if (t_current == device_) return;
  MOME_CUDA_CALL(cudaSetDevice(device_));
  t_current = device_;
}

void Queue::not_while_capturing(const char* what) const {
  if (capturing_)
    throw std::logic_error(
        std::string("cuda: ") + what +
        " while work is captured for a graph; it must be done before the capture");
}

void* Queue::allocate(size_t bytes) {
  not_while_capturing("memory is allocated");
  make_current();
  void* block = nullptr;
  const cudaError_t e = cudaMalloc(
      &block, std::max<size_t>(bytes, 1));  // of 0 bytes CUDA gives null, which means "absent"
  if (e == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw std::runtime_error("cuda: out of memory on GPU " + std::to_string(device_) + " (" +
                             gpu_name_ + "): " + mib(bytes) + " are wanted, " + mib(free) + " of " +
                             mib(total) + " are free");
  }
  check(e, "cudaMalloc");
  return block;
}

void Queue::release(void* block) {
  if (!block) return;
  not_while_capturing("memory is released");
  make_current();
  MOME_CUDA_CALL(cudaFree(block));
}

void Queue::launch_kernel(const char* name, const void* kernel, Dim grid, Dim block,
                          size_t shared_bytes, void** arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  make_current();
  const Range range(*this, name);
  cudaError_t e = cudaSuccess;
  // Up to 48 KiB are every kernel's; more must be asked for, once.
  if (shared_bytes > 48 * 1024) {
    size_t& allowed = shared_opt_in_[kernel];
    if (shared_bytes > allowed) {
      e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               int(shared_bytes));
      if (e == cudaSuccess) allowed = shared_bytes;
    }
  }
  if (e == cudaSuccess)
    e = cudaLaunchKernel(kernel, dim3(grid.x, grid.y, grid.z), dim3(block.x, block.y, block.z),
                         arguments, shared_bytes, stream_);
  if (e == cudaSuccess) {
    last_launch_ = name;
    return;
  }
  cudaGetLastError();
  std::string text = "cuda: launch of " + std::string(name) + ", grid " + dim(grid) + ", block " +
                     dim(block) + ", " + std::to_string(shared_bytes) +
                     " bytes of dynamic shared memory (a block may have " +
                     std::to_string(shared_limit_) + "): " + text_of(e);
  if (e == cudaErrorNoKernelImageForDevice || e == cudaErrorInvalidDeviceFunction ||
      e == cudaErrorUnsupportedPtxVersion)
    text += "; the GPU has compute capability " + capability(compute_capability_) +
            ", the program was built for the architectures " MOME_CUDA_ARCHITECTURES;
  else if (last_launch_)
    text += "; the launch before was " + std::string(last_launch_);
  throw std::runtime_error(text);
}

void Queue::copy(void* to, const void* from, size_t bytes) {
  if (!bytes) return;
  make_current();
  MOME_CUDA_CALL(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_));
}

void Queue::upload(void* device, const void* host, size_t bytes) {
  if (!bytes) return;
  not_while_capturing("host memory is uploaded");
  make_current();
  if (!staging_) staging_ = std::make_unique<Staging>(stream_);
  staging_->upload(device, host, bytes);
}

void Queue::download(void* host, const void* device, size_t bytes) {
  not_while_capturing("device memory is downloaded");
  make_current();
  if (bytes) MOME_CUDA_CALL(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_));
  synchronize();
}

void Queue::fill(void* device, unsigned char byte, size_t bytes) {
  if (!bytes) return;
  make_current();
  MOME_CUDA_CALL(cudaMemsetAsync(device, byte, bytes, stream_));
}

void* Queue::workspace(size_t bytes) {
  if (bytes > workspace_bytes_) {
    if (capturing_)
      throw std::logic_error(
          "cuda: the workspace must grow from " + std::to_string(workspace_bytes_) + " to " +
          std::to_string(bytes) +
          " bytes while work is captured for a graph; run the same work once before the capture");
    synchronize();
    release(std::exchange(workspace_, nullptr));
    workspace_bytes_ = 0;
    workspace_ = allocate(bytes);
    workspace_bytes_ = bytes;
  }
  return workspace_;
}

Event Queue::record() {
  make_current();
  Event event;
  MOME_CUDA_CALL(cudaEventCreateWithFlags(&event.event_, cudaEventDefault));
  MOME_CUDA_CALL(cudaEventRecord(event.event_, stream_));
  return event;
}

double Queue::elapsed_ms(const Event& start, const Event& end) {
  make_current();
  MOME_CUDA_CALL(cudaEventSynchronize(end.event_));
  float ms = 0;
  MOME_CUDA_CALL(cudaEventElapsedTime(&ms, start.event_, end.event_));
  return ms;
}

void Queue::wait(const Event& event) {
  if (!event.event_) throw std::logic_error("cuda: wait for an event that was never recorded");
  make_current();
  MOME_CUDA_CALL(cudaStreamWaitEvent(stream_, event.event_, 0));
}

void Queue::synchronize() {
  not_while_capturing("the queue is waited for");
  make_current();
  const cudaError_t e = cudaStreamSynchronize(stream_);
  if (e == cudaSuccess) return;
  cudaGetLastError();
  std::string text = "cuda: cudaStreamSynchronize: " + text_of(e);
  if (last_launch_)
    text += "; the last launch was " + std::string(last_launch_) +
            " (CUDA_LAUNCH_BLOCKING=1 in the environment tells the very one)";
  throw std::runtime_error(text);
}

void Queue::begin_capture() {
  not_while_capturing("another capture begins");
  make_current();
  MOME_CUDA_CALL(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  capturing_ = true;
}

Graph Queue::end_capture() {
  if (!capturing_) throw std::logic_error("cuda: end_capture() without begin_capture()");
  make_current();
  capturing_ = false;
  cudaGraph_t graph = nullptr;
  MOME_CUDA_CALL(cudaStreamEndCapture(stream_, &graph));
  Graph result;
  const cudaError_t e = cudaGraphInstantiate(&result.graph_, graph, 0);
  cudaGraphDestroy(graph);
  check(e, "cudaGraphInstantiate");
  return result;
}

size_t Queue::free_memory() {
  make_current();
  size_t free = 0, total = 0;
  MOME_CUDA_CALL(cudaMemGetInfo(&free, &total));
  return free;
}

#if defined(MOME_NVTX)
Range::Range(const Queue& queue, const char* name) : open_(queue.options().ranges) {
  if (open_) nvtxRangePushA(name);
}
Range::~Range() {
  if (open_) nvtxRangePop();
}
#else
Range::Range(const Queue&, const char*) : open_(false) {}
Range::~Range() = default;
#endif

}  // namespace mome::cuda
