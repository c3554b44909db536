// Page-locked memory through which uploads pass: the caller's memory may be reused as soon as it is
// copied here, and the device fetches it when its stream comes to it. A ring of segments: an event
// tells when a segment's bytes have been fetched, and only whoever wants that segment again waits
// for it.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>

namespace mome::cuda {

class Staging {
 public:
  explicit Staging(cudaStream_t stream);
  ~Staging();
  Staging(const Staging&) = delete;

  void upload(void* device, const void* host, size_t bytes);

 private:
  static constexpr size_t kSegment = size_t{4} << 20;
  static constexpr int kSegments = 8;
  void next_segment();

  cudaStream_t stream_;
  char* memory_ = nullptr;
  cudaEvent_t fetched_[kSegments] = {};
  bool pending_[kSegments] = {};
  int segment_ = 0;
  size_t used_ = 0;  // bytes of the segment
};

}  // namespace mome::cuda
