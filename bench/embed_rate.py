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
import csv
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from compare_step import mome_commit, processor

HERE = pathlib.Path(__file__).resolve().parent
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
    parser.add_argument("--out", type=pathlib.Path, help="append here instead of printing")
    args = parser.parse_args()
    if min(args.batch, args.images, args.runs, *args.threads) < 1:
        parser.error("all numbers must be positive")
    if args.out and args.out.exists() and args.out.stat().st_size:
        header = args.out.read_text().split("\n", 1)[0].split(",")
        if tuple(header) != COLUMNS:
            parser.error(f"{args.out}: its header is another; expected {','.join(COLUMNS)}")
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


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"embed_rate: exit status {done.returncode} from: {' '.join(command)}\n"
                 f"{done.stderr[-4000:]}")
    result = json.loads(done.stdout)
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
                         str(args.batch), "--threads", str(threads), "--json"])
                    for _ in range(args.runs)]
            middle = lambda key: statistics.median(r[key] for r in runs)
            rates = [r["images_per_s"] for r in runs]
            now = datetime.datetime.now(datetime.timezone.utc)
            rows.append(dict(zip(COLUMNS, (
                now.strftime("%Y-%m-%d"), processor(), len(os.sched_getaffinity(0)),
                mome_commit(), args.model, args.image_size, args.batch, threads, args.runs,
                args.images, f"{middle('images_per_s'):.4g}", f"{min(rates):.4g}",
                f"{max(rates):.4g}", f"{middle('images_per_s') / threads:.4g}",
                f"{middle('read_images_per_s'):.4g}", f"{middle('encode_images_per_s'):.4g}",
                f"{middle('texts_per_s'):.4g}", f"{middle('tokens_per_text'):.3g}",
                f"{middle('peak_rss_mib'):.0f}"))))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
    out = open(args.out, "a", newline="", encoding="utf-8") if args.out else sys.stdout
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    if not args.out or out.tell() == 0:
        writer.writeheader()
    writer.writerows(rows)


if __name__ == "__main__":
    main()
