// Device memory of the simt device: host memory with red zones before and after each block, filled with NaN (0xFF)
// when it is handed out and when it is given back. Accesses by kernels are looked up here, so that one outside every
// live block is reported with the kernel's file and line.
#pragma once
#include <cstddef>

namespace mome::simt {

/// 256-byte aligned, as cudaMalloc's. Throws std::bad_alloc.
void* allocate(size_t bytes);
/// Throws Fault if a red zone was written to: then some kernel stored outside the block.
void release(void* block);
/// Whether [p, p + bytes) lies inside one live block.
bool is_device_memory(const void* p, size_t bytes);
/// Bytes handed out now.
size_t allocated();

}  // namespace mome::simt
