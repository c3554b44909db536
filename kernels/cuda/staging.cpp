#include "kernels/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/queue.h"

namespace mome::cuda {

Staging::Staging(cudaStream_t stream) : stream_(stream) {
  MOME_CUDA_CALL(cudaMallocHost(reinterpret_cast<void**>(&memory_), kSegment * kSegments));
  try {
    for (cudaEvent_t& e : fetched_)
      MOME_CUDA_CALL(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
  } catch (...) {
    this->~Staging();
    throw;
  }
}

Staging::~Staging() {
  for (cudaEvent_t e : fetched_)
    if (e) cudaEventDestroy(e);
  cudaFreeHost(memory_);
}

void Staging::next_segment() {
  MOME_CUDA_CALL(cudaEventRecord(fetched_[segment_], stream_));
  pending_[segment_] = true;
  segment_ = (segment_ + 1) % kSegments;
  used_ = 0;
  if (pending_[segment_]) MOME_CUDA_CALL(cudaEventSynchronize(fetched_[segment_]));
  pending_[segment_] = false;
}

void Staging::upload(void* device, const void* host, size_t bytes) {
  while (bytes) {
    if (used_ >= kSegment) next_segment();
    const size_t piece = std::min(bytes, kSegment - used_);
    char* staged = memory_ + segment_ * kSegment + used_;
    std::memcpy(staged, host, piece);
    MOME_CUDA_CALL(cudaMemcpyAsync(device, staged, piece, cudaMemcpyHostToDevice, stream_));
    used_ += (piece + 255) / 256 * 256;
    device = static_cast<char*>(device) + piece;
    host = static_cast<const char*>(host) + piece;
    bytes -= piece;
  }
}

}  // namespace mome::cuda
