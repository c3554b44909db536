#!/bin/sh
# kill -9 at 100 (or $1) random instants of a small run (also while it writes), each resumed and compared bit for bit with the run
# that nothing happened to: the long form of tests/tools/fault_test.cpp, some ten minutes.
# Results, a line a kill, go to bench/results/faults.csv (or $2). Columns: date (UTC), machine (processor) and the cores that this
# process may use, mome_commit ("+dirty" if the tree had changes), kill (its number), seconds (into the run), files_in_writing (at
# that instant), resumed_at (the step; empty: there was no resume point yet, or the stage was done), weights_and_log (of the resumed
# run: "same" as the uninterrupted one's, but for times).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/release
results=${2:-$root/bench/results/faults.csv}
cmake --build "$build" --target mome fault_test
# Threads would wait for each other on a busy machine; the results do not depend on their number.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} MOME_FAULT_INSTANTS=${1:-100} MOME_FAULT_RESULTS=$results \
  "$build/tests/fault_test" --gtest_filter='*KilledAtRandomInstants'
PYTHONPATH=$root/bench python3 - "$results" <<'END'
import os, sys
from compare_step import mome_commit, processor, today
head, *rows = open(sys.argv[1]).read().splitlines()
source = f"{today()},{processor()},{len(os.sched_getaffinity(0))},{mome_commit()},"
with open(sys.argv[1], "w") as out:
    print("date,machine,cores,mome_commit," + head, *(source + row for row in rows), sep="\n", file=out)
END
