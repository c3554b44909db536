// Where tensors live and operations run: the CPU, a GPU, or the interpreter that plays one (kernels/simt).
#pragma once
#include <memory>
#include <string>

#include "kernels/common/queue.h"
#include "runtime/core/tensor.h"

#if defined(MOME_WITH_CUDA)
#include "kernels/cuda/queue.h"
#endif
#include "kernels/simt/queue.h"

namespace mome {

enum class DeviceKind : uint8_t { kCpu, kSimt, kCuda };

/// One device with its queue of work. Pointers of one device mean nothing on another.
class Device {
 public:
  /// "cpu", "simt" or "cuda" ("cuda:1" for the second GPU). Throws UsageError for another name and Error, with the
  /// reason, where the device is not in this program or not in this machine.
  static std::unique_ptr<Device> open(const std::string& name);
  static std::unique_ptr<Device> simt(const simt::Options& options);
  /// The CPU of this process.
  static Device& host();
  ~Device();
  Device(const Device&) = delete;

  DeviceKind kind() const { return kind_; }
  bool is_host() const { return kind_ == DeviceKind::kCpu; }
  const std::string& name() const { return name_; }

  void* allocate(size_t bytes);  // uninitialised; Error when there is not enough memory
  void release(void* block);
  void copy(void* to, const void* from, size_t bytes);        // within the device
  void upload(void* to, const void* host, size_t bytes);      // `host` may be reused on return
  void download(void* host, const void* from, size_t bytes);  // waits
  void zero(void* to, size_t bytes);
  void synchronize();

  /// Calls f(queue) with this device's Cpu&, simt::Queue& or cuda::Queue&.
  template <class F>
  decltype(auto) on_queue(F&& f) {
    switch (kind_) {
      case DeviceKind::kSimt: return f(*simt_);
#if defined(MOME_WITH_CUDA)
      case DeviceKind::kCuda: return f(*cuda_);
#endif
      default: return f(mome::cpu);
    }
  }
  /// A second queue of this device beside its own, for work that does not depend on it; ordered by events. The CPU has none:
  /// the queue itself comes back.
  Cpu& side(Cpu& queue) { return queue; }
  simt::Queue& side(simt::Queue&) { return *simt_side_; }
#if defined(MOME_WITH_CUDA)
  cuda::Queue& side(cuda::Queue&) { return *cuda_side_; }
#endif

  simt::Queue& simt_queue() { return *simt_; }
#if defined(MOME_WITH_CUDA)
  cuda::Queue& cuda_queue() { return *cuda_; }
#endif

 private:
  Device() = default;
  DeviceKind kind_ = DeviceKind::kCpu;
  std::string name_ = "cpu";
  std::unique_ptr<simt::Queue> simt_, simt_side_;
#if defined(MOME_WITH_CUDA)
  std::unique_ptr<cuda::Queue> cuda_, cuda_side_;
#endif
};

namespace dispatch_detail {
template <class Queue, class F>
decltype(auto) gpu(Queue& q, DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32: return f.template operator()<float>(q);
    case DType::kF16: return f.template operator()<half>(q);
    case DType::kBF16: return f.template operator()<bf16>(q);
    default: throw std::logic_error("this dtype is for the CPU only");
  }
}
}  // namespace dispatch_detail

/// Calls f.template operator()<T>(queue): the one place where a device and a floating dtype become types.
template <class F>
decltype(auto) dispatch(Device& device, DType dtype, F&& f) {
  switch (device.kind()) {
    case DeviceKind::kSimt: return dispatch_detail::gpu(device.simt_queue(), dtype, f);
#if defined(MOME_WITH_CUDA)
    case DeviceKind::kCuda: return dispatch_detail::gpu(device.cuda_queue(), dtype, f);
#endif
    default: break;
  }
  switch (dtype) {
    case DType::kF32: return f.template operator()<float>(mome::cpu);
    case DType::kF64: return f.template operator()<double>(mome::cpu);
    default: throw std::logic_error("this dtype is for GPUs only");
  }
}
/// The same on the CPU.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32: return f.template operator()<float>();
    case DType::kF64: return f.template operator()<double>();
    default: throw std::logic_error("a floating dtype of the CPU was expected");
  }
}

}  // namespace mome
