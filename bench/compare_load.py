#!/usr/bin/env python3
"""Pairs `mome bench load` with torch and safetensors (peer_load.py); a CSV row per way of loading.

A VLMo-Large of random weights in float32 is written to --folder, as safetensors and by torch.save;
both files are read once before the turns, so that they lie in the page cache. The programs run in
turn, A B C D A B C D ..., each run a process of its own; the ratio is the median of the turns'
ratios, its range stands beside it. The files are removed at the end.

    python3 bench/compare_load.py --out bench/results/load.csv

Columns: date (UTC), machine (processor) and the cores this process may use, mome_commit ("+dirty"
when the tree has changes), model, GB of the file, peer, its version, threads, turns (runs of each);
medians in seconds from the call on: open (mome: to the model; peers: to the state dict), read (to
every weight summed once) and mome_forward_s (to the features of one picture and one text); ratios =
peer / mome; peak resident memory in MiB when all is read.
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile

from compare_step import (HERE, check_files, mome_commit, processor, run_json, run_program, today,
                          write_table)

COLUMNS = ("date", "machine", "cores", "mome_commit", "model", "file_gb", "peer", "peer_version",
           "threads", "turns", "mome_open_s", "peer_open_s", "open_ratio", "open_ratio_min",
           "open_ratio_max", "mome_read_s", "peer_read_s", "read_ratio", "read_ratio_min",
           "read_ratio_max", "mome_forward_s", "mome_rss_mib", "peer_rss_mib")
PEERS = ("torch", "torch-mmap", "safetensors")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="vlmo-large",
                        choices=("vlmo-base", "vlmo-base-plus", "vlmo-large"))
    parser.add_argument("--turns", type=int, default=5, help="runs of each program")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=pathlib.Path, default=tempfile.gettempdir(),
                        help="where the two files of some gigabytes go for the time")
    parser.add_argument("--mome", default=str(HERE.parent / "build" / "release" / "bin" / "mome"))
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--timeout", type=int, default=600, help="seconds a run may take")
    parser.add_argument("--out", type=pathlib.Path, help="append here instead of printing")
    args = parser.parse_args()
    if min(args.turns, args.threads) < 1:
        parser.error("--turns and --threads must be positive")
    check_files(parser, args, COLUMNS)
    return args


def timed(command, timeout):
    result = run_json(command, timeout, ("open_s", "use_s", "peak_rss_mib", "parameters"))
    print(f"# open {result['open_s']:8.4f} s  use {result['use_s']:7.3f} s  "
          f"{result['peak_rss_mib']:6.0f} MiB  {' '.join(command)}", file=sys.stderr, flush=True)
    return result


def compare(folder, args):
    """A row per peer."""
    native, torch_file = str(folder / "model.safetensors"), str(folder / "model.pt")
    run_program([args.mome, "bench", "load", native, "--write", args.model], args.timeout)
    peer = [args.python, str(HERE / "peer_load.py")]
    run_program([*peer, native, "--write", torch_file], args.timeout)
    threads = ["--threads", str(args.threads)]
    ours = [args.mome, "bench", "load", native, *threads, "--json", "--use"]
    ways = {"mome": [*ours, "read"], "forward": [*ours, "forward"]}
    for way in PEERS:
        ways[way] = [*peer, native if way == "safetensors" else torch_file, "--way", way, *threads]
    for way in ("mome", "torch"):  # both files into the page cache
        timed(ways[way], args.timeout)
    turns = [{way: timed(command, args.timeout) for way, command in ways.items()}
             for _ in range(args.turns)]
    if len({r["parameters"] for turn in turns for r in turn.values()}) != 1:
        sys.exit("compare_load: the programs do not see as many parameters")
    middle = lambda way, key: statistics.median(turn[way][key] for turn in turns)
    for way in PEERS:
        row = [today(), processor(), len(os.sched_getaffinity(0)), mome_commit(), args.model,
               f"{os.path.getsize(native) / 1e9:.3f}", way, turns[0][way]["version"],
               args.threads, args.turns]
        for key in ("open_s", "use_s"):
            ratios = [turn[way][key] / turn["mome"][key] for turn in turns]
            row += [f"{middle('mome', key):.4g}", f"{middle(way, key):.4g}",
                    f"{statistics.median(ratios):.3f}", f"{min(ratios):.3f}", f"{max(ratios):.3f}"]
        row += [f"{middle('forward', 'use_s'):.4g}", f"{middle('mome', 'peak_rss_mib'):.0f}",
                f"{middle(way, 'peak_rss_mib'):.0f}"]
        yield dict(zip(COLUMNS, row))


def main():
    args = parse_args()
    with tempfile.TemporaryDirectory(prefix="mome_load_", dir=args.folder) as folder:
        rows = list(compare(pathlib.Path(folder), args))
    write_table(COLUMNS, rows, args.out)


if __name__ == "__main__":
    main()
