// Where an operation runs. Every contract function takes a queue first:
//
//   Cpu          at once, on all cores, T = float or double       <op>_cpu.cpp
//   cuda::Queue  a CUDA stream, T = float, half or bf16            <op>_cuda.cu, compiled by the CUDA compiler
//   simt::Queue  the same <op>_cuda.cu compiled by the host compiler and interpreted (kernels/simt)
//
// The function is one template, declared in <op>.h; its instances for a queue are made explicitly in that queue's
// source file and nowhere else. Pointers are the queue's device's; work of one queue runs in order, and a call may
// return before the work is done.
#pragma once
#include <cstddef>
#include <cstring>

#include "kernels/common/half.h"

namespace mome {

struct Cpu {
  void copy(void* to, const void* from, size_t bytes) const { if (bytes) std::memcpy(to, from, bytes); }
  void upload(void* to, const void* host, size_t bytes) const { copy(to, host, bytes); }
  void download(void* host, const void* from, size_t bytes) const { copy(host, from, bytes); }
  void fill(void* to, unsigned char byte, size_t bytes) const { if (bytes) std::memset(to, byte, bytes); }
  void synchronize() const {}
};
inline Cpu cpu;

namespace simt {
class Queue;
}
namespace cuda {
class Queue;
}

}  // namespace mome
