#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test. Exits with the tests' status.
# Where a CUDA toolkit is installed, the CUDA kernels are also compiled for every architecture from V100 on (a test fails
# if one spills registers) and the program is linked for the cuda device; no GPU is needed.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh
if command -v nvcc > /dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
  tools/setup.sh cuda
  tools/volta_toolkit.sh build/volta-toolkit || echo "test: no toolkit for V100 here: kernels are not compiled for sm_70"
  cmake --preset cuda -DMOME_TESTS=OFF -DMOME_BENCH=OFF -DCMAKE_CUDA_ARCHITECTURES=80-real
  cmake --build build/cuda --target mome mome_bench_gpu
fi
if [ "$(id -u)" = 0 ]; then # the test of the Slurm script starts daemons that want root
  tools/setup.sh slurm
fi
cmake --preset release
cmake --build build/release

# Two tests at a time, each on its share of the cores: more OpenMP threads than cores only spin.
cores=$(nproc)
jobs=$((cores < 2 ? 1 : 2))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores / jobs))}
exec ctest --test-dir build/release --output-on-failure -j "$jobs"
