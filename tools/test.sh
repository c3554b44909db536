#!/usr/bin/env bash
# Installs what is missing, builds everything and runs every test. Exits with the tests' status.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh
cmake --preset release
cmake --build build/release

# Two tests at a time, each on its share of the cores: more OpenMP threads than cores only spin.
cores=$(nproc)
jobs=$((cores < 2 ? 1 : 2))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores / jobs))}
exec ctest --test-dir build/release --output-on-failure -j "$jobs"
