#!/usr/bin/env python3
"""Pairs `mome bench loader` with a PyTorch DataLoader and Pillow (peer_loader.py); a CSV row per case.

Both decode the same files and augment them as VLMo does, on as many threads (mome) or worker
processes (peer); nothing decoded is kept. They run alternately as in compare_step.py, each first
once, untimed, so that the files lie in the page cache. Files much larger than needed are decoded at
half their sides or less by mome, and whole by the peer, as torchvision's pipelines do.

    python3 bench/compare_loader.py FOLDER --out bench/results/loader.csv

FOLDER: JPEGs of a usual size (COCO's train2017 or val2017: 640 x 480), or tar shards with commas
between them; --make N resizes (a copy of) FOLDER's first N pictures so that their longer side is
--side pixels, quality 90, and reads those.

Columns: date (UTC), machine (processor) and the cores this process may use, mome_commit ("+dirty"
when the tree has changes), torch and pillow versions, files, mean_kib of a file, mean_width and
mean_height, size made, augmentation, batch, threads, pairs (runs of each), steps (timed batches, a
run), pictures/s of both (medians), ratio = mome / peer with its range, peak resident memory of both
(MiB, medians; the peer's: the main process and its workers).
"""

import argparse
import io
import os
import pathlib
import statistics
import sys
import tempfile

from PIL import Image

from compare_step import (HERE, check_files, middle, mome_commit, processor, run, today,
                          write_rows)
from peer_loader import find_pictures

COLUMNS = ("date", "machine", "cores", "mome_commit", "torch", "pillow", "files", "mean_kib",
           "mean_width", "mean_height", "size", "augmentation", "batch", "threads", "pairs",
           "steps", "mome_pictures_per_s", "peer_pictures_per_s", "ratio", "ratio_min",
           "ratio_max", "mome_rss_mib", "peer_rss_mib")
CASES = ("vlmo:224", "none:224", "vlmo:384")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", help="a folder of pictures, or tar shards")
    parser.add_argument("rows", nargs="*", default=CASES,
                        help=f"AUGMENTATION:SIZE ... (default: {' '.join(CASES)})")
    parser.add_argument("--make", type=int, metavar="N", help="read N resized copies")
    parser.add_argument("--side", type=int, default=500, help="longer side of the copies")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=40, help="timed batches a run")
    parser.add_argument("--pairs", type=int, default=5, help="runs of each program a row")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--mome", default=str(HERE.parent / "build" / "release" / "bin" / "mome"))
    parser.add_argument("--python", default=sys.executable, help="interpreter with torch and Pillow")
    parser.add_argument("--timeout", type=int, default=600, help="seconds a run may take")
    parser.add_argument("--out", type=pathlib.Path, help="append here instead of printing")
    args = parser.parse_intermixed_args()
    if min(args.pairs, args.threads, args.batch, args.steps, args.make or 1, args.side) < 1:
        parser.error("--pairs, --threads, --batch, --steps, --make and --side must be positive")
    check_files(parser, args, COLUMNS)
    args.cases = []
    for row in args.rows:
        augmentation, _, size = row.partition(":")
        if augmentation not in ("vlmo", "none") or not size.isdecimal() or int(size) < 1:
            parser.error(f"{row!r}: expected vlmo:SIZE or none:SIZE")
        args.cases.append((augmentation, int(size)))
    return args


def read(picture):
    path, offset, size = picture
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(size)


def make_copies(found, folder, side):
    for number, picture in enumerate(found):
        image = Image.open(io.BytesIO(read(picture))).convert("RGB")
        scale = side / max(image.size)
        image = image.resize([max(1, round(n * scale)) for n in image.size],
                             Image.Resampling.LANCZOS)
        image.save(folder / f"{number:06d}.jpg", quality=90)


def describe(found):
    """The files' number, mean size in KiB, mean width and height; of a hundred at most."""
    some = found[::max(1, len(found) // 100)]
    files = [read(picture) for picture in some]
    sides = [Image.open(io.BytesIO(data)).size for data in files]
    mean = lambda values: statistics.fmean(values)
    return (len(found), f"{mean(map(len, files)) / 1024:.1f}", f"{mean(w for w, _ in sides):.0f}",
            f"{mean(h for _, h in sides):.0f}")


def compare(augmentation, size, args, source, files):
    work = [source, "--augmentation", augmentation, "--size", str(size), "--batch",
            str(args.batch), "--steps", str(args.steps), "--threads", str(args.threads), "--json"]
    rate = "pictures_per_s"
    mome = [args.mome, "bench", "loader", *work, "--cache", "0"]
    peer = [args.python, str(HERE / "peer_loader.py"), *work]
    first = [run(command, args.timeout, rate) for command in (mome, peer)]
    if first[0]["files"] != first[1]["files"]:
        sys.exit(f"compare_loader: {first[0]['files']} pictures against {first[1]['files']}")
    ours, theirs = zip(*((run(mome, args.timeout, rate), run(peer, args.timeout, rate))
                         for _ in range(args.pairs)))
    ratios = [a[rate] / b[rate] for a, b in zip(ours, theirs)]
    return dict(zip(COLUMNS, (
        today(), processor(), len(os.sched_getaffinity(0)), mome_commit(), theirs[0]["torch"],
        theirs[0]["pillow"], *files, size, augmentation, args.batch, args.threads, args.pairs,
        args.steps, f"{middle(ours, rate):.4g}", f"{middle(theirs, rate):.4g}",
        f"{statistics.median(ratios):.3f}", f"{min(ratios):.3f}", f"{max(ratios):.3f}",
        f"{middle(ours, 'peak_rss_mib'):.0f}", f"{middle(theirs, 'peak_rss_mib'):.0f}")))


def main():
    args = parse_args()
    found = find_pictures(args.source)
    if not found:
        sys.exit(f"compare_loader: {args.source}: no pictures")
    with tempfile.TemporaryDirectory(prefix="mome_loader_") as folder:
        source = args.source
        if args.make:
            source = folder
            make_copies(found[:args.make], pathlib.Path(folder), args.side)
            found = find_pictures(source)
        files = describe(found)
        write_rows(COLUMNS, args.cases, lambda *case: compare(*case, args, source, files), args.out)


if __name__ == "__main__":
    main()
