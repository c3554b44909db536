#!/usr/bin/env python3
"""Pairs `mome bench forward` with its PyTorch peer (peer_forward.py); a CSV row per case.

VLMo-Base in fp32: images alone, texts alone (40 tokens, none of them padding) and both fused, to
all tokens' states. The two programs run alternately as in compare_step.py, the peer in the faster
of its modes. Both compute every row, so the engine's packing of texts and its pruning of rows that
no head reads gain nothing here. Its time includes making patches of bytes; the peer gets floats.

    python3 bench/compare_forward.py --out bench/results/forward_cpu.csv

Columns: date (UTC), machine (processor) and the cores this process may use, mome_commit ("+dirty"
when the tree has changes), torch version, part, image_size (0: no images), batch, tokens (a pass),
threads, pairs (runs of each), steps (timed passes, a run), sequences/s of both (medians), ratio =
mome / peer with its range, the engine's GFLOP of products a second, peak resident memory of both
(MiB, medians).
"""

import argparse
import os
import statistics
import sys

from compare_step import (HERE, add_common, alternate, check_common, middle, mome_commit,
                          processor, today, write_rows)

COLUMNS = ("date", "machine", "cores", "mome_commit", "torch", "part", "image_size", "batch",
           "tokens", "threads", "pairs", "steps", "mome_sequences_per_s", "peer_sequences_per_s",
           "ratio", "ratio_min", "ratio_max", "mome_gf_s", "mome_rss_mib", "peer_rss_mib",
           "peer_mode")
CASES = ("image:224:8", "text:224:8", "fusion:224:8", "image:384:4", "fusion:384:4")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", default=CASES,
                        help=f"PART:SIZE:BATCH ... (default: {' '.join(CASES)})")
    parser.add_argument("--steps", type=int, default=3, help="timed passes a run")
    add_common(parser)
    args = parser.parse_args()
    check_common(parser, args, COLUMNS)
    args.cases = []
    for row in args.rows:
        part, *numbers = row.split(":")
        if part not in ("image", "text", "fusion") or len(numbers) != 2 or not all(
                n.isdecimal() and int(n) for n in numbers):
            parser.error(f"{row!r}: expected PART:SIZE:BATCH with PART one of image, text, fusion")
        args.cases.append((part, *map(int, numbers)))
    return args


def compare(part, size, batch, args):
    work = ["--part", part, "--image-size", str(size), "--batch", str(batch), "--steps",
            str(args.steps), "--threads", str(args.threads), "--json"]
    ours, theirs, ratios, mode = alternate(
        [args.mome, "bench", "forward", *work],
        [args.python, str(HERE / "peer_forward.py"), *work], args, "sequences_per_s")
    if ours[0]["tokens"] != theirs[0]["tokens"]:
        sys.exit(f"compare_forward: {ours[0]['tokens']} tokens against {theirs[0]['tokens']}")
    return dict(zip(COLUMNS, (
        today(), processor(), len(os.sched_getaffinity(0)), mome_commit(), theirs[0]["torch"],
        part, ours[0]["image_size"], batch, ours[0]["tokens"], args.threads, args.pairs,
        args.steps, f"{middle(ours, 'sequences_per_s'):.4g}",
        f"{middle(theirs, 'sequences_per_s'):.4g}", f"{statistics.median(ratios):.3f}",
        f"{min(ratios):.3f}", f"{max(ratios):.3f}", f"{middle(ours, 'gf_s'):.1f}",
        f"{middle(ours, 'peak_rss_mib'):.0f}", f"{middle(theirs, 'peak_rss_mib'):.0f}", mode)))


def main():
    args = parse_args()
    write_rows(COLUMNS, args.cases, lambda *case: compare(*case, args), args.out)


if __name__ == "__main__":
    main()
