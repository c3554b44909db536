#!/usr/bin/env python3
"""Training pictures made by a PyTorch DataLoader with Pillow: the peer of `mome bench loader`.

Each worker decodes a file, draws a random resized crop (area 0.5 to 1, aspect 3/4 to 4/3, bicubic),
mirrors half of them and applies RandAugment N = 2, M = 7 with VLMo's ten operations, in Pillow's own
C code. `--augmentation none` only resizes. Pictures stay bytes, as in the engine: what torchvision's
ToTensor and Normalize would cost comes on top of this.

SOURCE is a folder (searched through) or tar shards, with commas between them. Prints one JSON line.
"""

import argparse
import io
import json
import math
import os
import pathlib
import random
import resource
import tarfile
import time

import numpy
import PIL
from PIL import Image, ImageEnhance, ImageOps

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp"}
GREY = (128, 128, 128)


def find_pictures(source):
    """(file, offset, size) of every picture; size -1: the whole file."""
    if not os.path.isdir(source):
        found = []
        for shard in source.split(","):
            with tarfile.open(shard) as tar:
                found += [(shard, m.offset_data, m.size) for m in tar
                          if m.isfile() and pathlib.Path(m.name).suffix.lower() in ENDINGS]
        return found
    return sorted((str(path), 0, -1) for path in pathlib.Path(source).rglob("*")
                  if path.suffix.lower() in ENDINGS)


def random_crop(width, height):
    """torchvision's RandomResizedCrop.get_params: left, top, right, bottom."""
    for _ in range(10):
        area = width * height * random.uniform(0.5, 1.0)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = random.randint(0, height - h), random.randint(0, width - w)
            return left, top, left + w, top + h
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def warp(image, *matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix,
                           resample=Image.Resampling.BILINEAR, fillcolor=GREY)


def operation(image, number):
    sign = random.choice((-1, 1))
    if number == 1:
        return ImageOps.autocontrast(image)
    if number == 2:
        return ImageOps.equalize(image)
    if number == 3:
        return ImageEnhance.Brightness(image).enhance(1.36)
    if number == 4:
        return ImageEnhance.Sharpness(image).enhance(1.36)
    if number == 5:
        return warp(image, 1, sign * 0.21, 0, 0, 1, 0)
    if number == 6:
        return warp(image, 1, 0, 0, sign * 0.21, 1, 0)
    if number == 7:
        return warp(image, 1, 0, sign * 7, 0, 1, 0)
    if number == 8:
        return warp(image, 1, 0, 0, 0, 1, sign * 7)
    if number == 9:
        return image.rotate(sign * 21, Image.Resampling.BILINEAR, fillcolor=GREY)
    return image


class Pictures:
    """A map-style data set."""

    def __init__(self, found, size, augmentation):
        self.found, self.size, self.vlmo = found, size, augmentation == "vlmo"

    def __len__(self):
        return len(self.found)

    def __getitem__(self, i):
        path, offset, size = self.found[i]
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read(size)
        image = Image.open(io.BytesIO(data)).convert("RGB")
        side = (self.size, self.size)
        if self.vlmo:
            # Cropped first, so that no tap of the filter reaches beyond, as torchvision does.
            image = image.crop(random_crop(*image.size)).resize(side, Image.Resampling.BICUBIC)
            if random.random() < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            for _ in range(2):
                number = random.randrange(10)
                if random.random() < 0.5:
                    image = operation(image, number)
        else:
            image = image.resize(side, Image.Resampling.BICUBIC)
        return numpy.array(image)  # collated to a tensor


class EndlessOrder:
    """A permutation after the other: as the engine, so that no worker pauses between epochs."""

    def __init__(self, count):
        self.count = count

    def __iter__(self):
        while True:
            yield from random.sample(range(self.count), self.count)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2, help="worker processes")
    parser.add_argument("--augmentation", choices=("vlmo", "none"), default="vlmo")
    parser.add_argument("--warmup", type=int, default=4, help="batches before the clock starts")
    parser.add_argument("--steps", type=int, default=20, help="batches that are timed")
    parser.add_argument("--json", action="store_true", help="accepted; it always prints JSON")
    return parser.parse_args()


def main():
    args = parse_args()
    import torch  # not above: compare_loader.py, which takes find_pictures() from here, stays small
    found = find_pictures(args.source)
    if not found:
        raise SystemExit(f"peer_loader: {args.source}: no pictures")
    random.seed(1)
    torch.manual_seed(1)
    loader = torch.utils.data.DataLoader(
        Pictures(found, args.size, args.augmentation), batch_size=args.batch,
        sampler=EndlessOrder(len(found)), num_workers=args.threads)
    batches = iter(loader)
    for _ in range(args.warmup):
        next(batches)
    start = time.perf_counter()
    for _ in range(args.steps):
        assert next(batches).shape == (args.batch, args.size, args.size, 3)
    seconds = time.perf_counter() - start
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    del batches  # ends the workers, whose memory is known then
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    pictures = args.steps * args.batch
    print(json.dumps({"torch": torch.__version__, "pillow": PIL.__version__,
                      "files": len(found), "pictures": pictures, "threads": args.threads,
                      "batch": args.batch, "seconds": seconds,
                      "pictures_per_s": pictures / seconds,
                      "peak_rss_mib": own + workers * args.threads}))


if __name__ == "__main__":
    main()
