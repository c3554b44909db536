#!/usr/bin/env python3
"""Steps of several processes against one process and against PyTorch's DistributedDataParallel.

Four programs in turn, A B C D A B C D ..., on the same cores, threads and global batch:
  ranks   mpirun -n N `mome bench step`, a rank on its share of the threads
  zero    the same with --zero: the optimiser sharded
  one     `mome bench step`, one process with all threads
  ddp     peer_pytorch.py --ranks N: DistributedDataParallel over gloo

    python3 bench/compare_ranks.py tiny:pairs:32 small:pairs:16 --out bench/results/ranks_cpu.csv

Columns: date (UTC), machine, cores, mome_commit, torch, model, stage, batch (of all ranks), ranks,
threads (of all), runs of each, steps (timed, a run); pairs/s of each (medians); ratios of pairs/s
(medians of the runs' ratios): ranks / one, zero / one, ranks / ddp with its range; exchange_s: what
the gradients' exchange takes of a step, and overlap: the share of it that the step does not wait
for; peak resident memory of all ranks together (MiB, medians).
"""

import argparse
import os
import shutil
import statistics
import sys

from compare_step import (HERE, STEPS, add_common, check_common, middle, mome_commit, processor,
                          run, today, write_rows)
from peer_pytorch import MODELS

COLUMNS = ("date", "machine", "cores", "mome_commit", "torch", "model", "stage", "batch", "ranks",
           "threads", "runs", "steps", "ranks_pairs_per_s", "zero_pairs_per_s", "one_pairs_per_s",
           "ddp_pairs_per_s", "ranks_to_one", "zero_to_one", "ranks_to_ddp", "ranks_to_ddp_min",
           "ranks_to_ddp_max", "exchange_s", "overlap", "ranks_rss_mib", "zero_rss_mib",
           "one_rss_mib", "ddp_rss_mib", "ddp_mode")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="+", help="MODEL:STAGE:BATCH ...")
    parser.add_argument("--ranks", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, help="timed steps a run (default: by model)")
    parser.add_argument("--mpirun", default="mpirun")
    add_common(parser)
    args = parser.parse_args()
    check_common(parser, args, COLUMNS)
    if not shutil.which(args.mpirun):
        parser.error(f"{args.mpirun}: no such program")
    if args.ranks < 2 or args.threads % args.ranks:
        parser.error("--ranks must be at least 2 and divide --threads")
    args.cases = []
    for row in args.rows:
        parts = row.split(":")
        if len(parts) != 3 or parts[0] not in MODELS or not parts[2].isdecimal():
            parser.error(f"{row!r}: expected MODEL:STAGE:BATCH with MODEL one of {', '.join(MODELS)}")
        args.cases.append((parts[0], parts[1], int(parts[2])))
    return args


def compare(model, stage, batch, args):
    steps = args.steps or STEPS[model]
    work = ["--model", model, "--stage", stage, "--batch", str(batch), "--steps", str(steps), "--json"]
    bench = [args.mome, "bench", "step", *work, "--threads"]
    several = [args.mpirun, *(["--allow-run-as-root"] if os.geteuid() == 0 else []), "--oversubscribe",
               "--bind-to", "none", "-n", str(args.ranks), *bench, str(args.threads // args.ranks)]
    ddp = [args.python, str(HERE / "peer_pytorch.py"), *work, "--threads", str(args.threads),
           "--ranks", str(args.ranks)]
    modes = {"eager": ddp, "compile": [*ddp, "--compile"]}
    mode, rate = args.peer_mode, "pairs_per_s"
    if mode == "auto":
        trial = {m: run(command, args.timeout, rate)[rate] for m, command in modes.items()}
        mode = max(trial, key=trial.get)
    programs = {"ranks": several, "zero": [*several, "--zero"],
                "one": [*bench, str(args.threads)], "ddp": modes[mode]}
    runs = {name: [] for name in programs}
    for _ in range(args.pairs):
        for name, command in programs.items():
            runs[name].append(run(command, args.timeout, rate))

    def ratios(a, b):
        return [x[rate] / y[rate] for x, y in zip(runs[a], runs[b])]
    to_ddp = ratios("ranks", "ddp")
    overlap = [1 - r["exchange_waited_s"] / r["exchange_s"] for r in runs["ranks"]]
    return dict(zip(COLUMNS, (
        today(), processor(), len(os.sched_getaffinity(0)), mome_commit(), runs["ddp"][0]["torch"],
        model, stage, batch, args.ranks, args.threads, args.pairs, steps,
        *(f"{middle(runs[name], rate):.4g}" for name in programs),
        f"{statistics.median(ratios('ranks', 'one')):.3f}",
        f"{statistics.median(ratios('zero', 'one')):.3f}",
        f"{statistics.median(to_ddp):.3f}", f"{min(to_ddp):.3f}", f"{max(to_ddp):.3f}",
        f"{middle(runs['ranks'], 'exchange_s'):.4f}", f"{statistics.median(overlap):.3f}",
        *(f"{middle(runs[name], 'peak_rss_mib'):.0f}" for name in programs), mode)))


def main():
    args = parse_args()
    write_rows(COLUMNS, args.cases, lambda *case: compare(*case, args), args.out)


if __name__ == "__main__":
    sys.exit(main())
