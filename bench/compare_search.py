#!/usr/bin/env python3
"""Pairs `mome bench search` with torch and faiss (peer_search.py); a CSV row per case and library.

The programs run in turn, A B C A B C ..., so that whatever else the machine does hits all; the
ratio is the median of the turns' ratios, its range stands beside it. Of torch's two ways the faster
one of each turn counts: peer_way names the one of the median turn's case.

    python3 bench/compare_search.py --out bench/results/search_cpu.csv

Columns: date (UTC), machine (processor) and the cores this process may use, mome_commit ("+dirty"
when the tree has changes), peer, its version and way, rows, dim, queries (asked at once), top,
threads, turns (runs of each), queries/s of both (medians), ratio = mome / peer, peak resident
memory of both in MiB.
"""

import argparse
import os
import pathlib
import statistics
import sys

from compare_step import (HERE, check_files, mome_commit, processor, run_json, today,
                          write_table)

COLUMNS = ("date", "machine", "cores", "mome_commit", "peer", "peer_version", "peer_way", "rows",
           "dim", "queries", "top", "threads", "turns", "mome_queries_per_s",
           "peer_queries_per_s", "ratio", "ratio_min", "ratio_max", "mome_rss_mib",
           "peer_rss_mib")
WAYS = {"torch": ("torch-whole", "torch-blocks"), "faiss": ("faiss",)}


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dims", type=int, nargs="+", default=[768, 256])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 256], help="asked at once")
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3, help="runs of each program a width")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls a run")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peers", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--mome", default=str(HERE.parent / "build" / "release" / "bin" / "mome"))
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--timeout", type=int, default=900, help="seconds a run may take")
    parser.add_argument("--out", type=pathlib.Path, help="append here instead of printing")
    args = parser.parse_args()
    if min(args.rows, args.top, args.turns, args.repeats, args.threads, *args.dims,
           *args.queries) < 1:
        parser.error("all numbers must be positive")
    check_files(parser, args, COLUMNS)
    return args


def run(command, timeout):
    """One run, told on standard error; results by queries."""
    result = run_json(command, timeout, ("peak_rss_mib",))
    result["results"] = {r["queries"]: float(r["queries_per_s"]) for r in result["results"]}
    rates = "  ".join(f"{q}: {r:9.2f}/s" for q, r in result["results"].items())
    print(f"# {rates}  {result['peak_rss_mib']:6.0f} MiB  {' '.join(command)}", file=sys.stderr, flush=True)
    return result


def compare(dim, args):
    """The rows of one width."""
    work = ["--rows", str(args.rows), "--dim", str(dim), "--top", str(args.top), "--queries",
            ",".join(map(str, args.queries)), "--repeats", str(args.repeats), "--threads",
            str(args.threads)]
    peer = [args.python, str(HERE / "peer_search.py"), *work, "--way"]
    ways = [way for name in args.peers for way in WAYS[name]]
    turns = [{"mome": run([args.mome, "bench", "search", *work, "--json"], args.timeout),
              **{way: run([*peer, way], args.timeout) for way in ways}}
             for _ in range(args.turns)]
    for name in args.peers:
        for queries in args.queries:
            rate = lambda turn, way: turn[way]["results"][queries]
            best = [max(WAYS[name], key=lambda way: rate(turn, way)) for turn in turns]
            ratios = [rate(t, "mome") / rate(t, way) for t, way in zip(turns, best)]
            middle = sorted(range(len(turns)), key=ratios.__getitem__)[len(turns) // 2]
            way = best[middle]
            yield dict(zip(COLUMNS, (
                today(), processor(), len(os.sched_getaffinity(0)), mome_commit(), name,
                turns[0][way]["version"], way, args.rows, dim, queries, args.top, args.threads,
                args.turns, f"{statistics.median(rate(t, 'mome') for t in turns):.4g}",
                f"{statistics.median(rate(t, w) for t, w in zip(turns, best)):.4g}",
                f"{statistics.median(ratios):.3f}", f"{min(ratios):.3f}", f"{max(ratios):.3f}",
                f"{statistics.median(t['mome']['peak_rss_mib'] for t in turns):.0f}",
                f"{statistics.median(t[way]['peak_rss_mib'] for t in turns):.0f}")))


def main():
    args = parse_args()
    write_table(COLUMNS, (row for dim in args.dims for row in compare(dim, args)), args.out)


if __name__ == "__main__":
    main()
