#!/usr/bin/env python3
"""Runs `mome bench embed` on JPEG files that it makes and writes a CSV row per number of threads.

The pictures are 640 x 480 (the usual size in COCO) of smooth noise, quality 90; each has a caption
of ten words. They lie in a temporary folder, in the page cache: reading is decoding and resizing.

    python3 bench/embed_rate.py --out bench/results/embed_cpu.csv

Columns: date (UTC), machine (processor) and the cores this process may use, mome_commit ("+dirty"
when the tree has changes), model, image_size, batch, threads, runs, images (a run), images/s in all
and of reading and of the encoder alone (medians), images/s a core, texts/s and tokens a text, peak
resident memory in MiB. Needs Pillow and numpy.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile

from compare_step import HERE, check_files, mome_commit, processor, run_json, today, write_table

COLUMNS = ("date", "machine", "cores", "mome_commit", "model", "image_size", "batch", "threads",
           "runs", "images", "images_per_s", "images_per_s_min", "images_per_s_max",
           "images_per_s_a_core", "read_images_per_s", "encode_images_per_s", "texts_per_s",
           "tokens_per_text", "peak_rss_mib")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="vlmo-base")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mome", default=str(HERE.parent / "build" / "release" / "bin" / "mome"))
    parser.add_argument("--timeout", type=int, default=900, help="seconds a run may take")
    parser.add_argument("--out", type=pathlib.Path, help="append here instead of printing")
    args = parser.parse_args()
    if min(args.batch, args.images, args.runs, *args.threads) < 1:
        parser.error("all numbers must be positive")
    check_files(parser, args, COLUMNS)
    return args


def make_pictures(folder, count):
    import numpy as np
    from PIL import Image
    random = np.random.default_rng(1)
    with open(folder / "captions.jsonl", "w", encoding="utf-8") as lines:
        for i in range(count):
            coarse = random.integers(0, 256, (30, 40, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC)
            picture.save(folder / f"{i}.jpg", quality=90)
            words = " ".join(f"w{n}" for n in random.integers(5, 30000, 10))
            lines.write(json.dumps({"image": f"{i}.jpg", "captions": [words]}) + "\n")


def run(command, timeout):
    result = run_json(command, timeout, ("images_per_s", "texts_per_s", "peak_rss_mib"))
    print(f"# {result['images_per_s']:7.3f} images/s {result['texts_per_s']:8.2f} texts/s  "
          f"{' '.join(command)}", file=sys.stderr, flush=True)
    return result


def main():
    args = parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        make_pictures(pathlib.Path(name), args.images)
        for threads in args.threads:
            runs = [run([args.mome, "bench", "embed", "--data", f"{name}/captions.jsonl",
                         "--model", args.model, "--image-size", str(args.image_size), "--batch",
                         str(args.batch), "--threads", str(threads), "--json"], args.timeout)
                    for _ in range(args.runs)]
            middle = lambda key: statistics.median(r[key] for r in runs)
            rates = [r["images_per_s"] for r in runs]
            rows.append(dict(zip(COLUMNS, (
                today(), processor(), len(os.sched_getaffinity(0)),
                mome_commit(), args.model, args.image_size, args.batch, threads, args.runs,
                args.images, f"{middle('images_per_s'):.4g}", f"{min(rates):.4g}",
                f"{max(rates):.4g}", f"{middle('images_per_s') / threads:.4g}",
                f"{middle('read_images_per_s'):.4g}", f"{middle('encode_images_per_s'):.4g}",
                f"{middle('texts_per_s'):.4g}", f"{middle('tokens_per_text'):.3g}",
                f"{middle('peak_rss_mib'):.0f}"))))
    write_table(COLUMNS, rows, args.out)


if __name__ == "__main__":
    main()
