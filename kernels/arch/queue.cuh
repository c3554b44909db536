// The queue of the device that a launcher is compiled for, and its Dim.
#pragma once
#include "kernels/arch/device.cuh"
#if defined(__CUDACC__)
#include "kernels/cuda/queue.h"
#else
#include "kernels/simt/queue.h"
#endif
