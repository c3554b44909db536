#!/bin/sh
# kill -9 at 100 (or $1) random instants over a small run, each resumed and compared bit for bit with the run that nothing happened
# to: the long form of tests/tools/fault_test.cpp, some ten minutes. Results go to bench/results/faults.csv (or $2).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/release
cmake --build "$build" --target mome fault_test
# Threads would wait for each other on a busy machine; the results do not depend on their number.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} MOME_FAULT_INSTANTS=${1:-100} MOME_FAULT_RESULTS=${2:-$root/bench/results/faults.csv} \
  "$build/tests/fault_test" --gtest_filter='*KilledAtRandomInstants'
