#!/usr/bin/env python3
"""Writes tests/models/resample_golden.txt: position parameters at another image size, by the
libraries that the official code calls.

Relative tables: BEiT's geometric scheme (unilm/beit/run_class_finetuning.py), written here from its
description, with scipy's RectBivariateSpline(kx=3, ky=3, s=0), which interp2d(kind="cubic") was
before scipy 1.14 took it away. Absolute positions: torch's bicubic interpolation.
Needs scipy, numpy and torch; the tests need only the file.  python3 tests/peers/resample_golden.py

A case is a line "geometric SOURCE TARGET Q" or "bicubic SOURCE TARGET" (points of a side) and a
line of the result, row-major, of the grid z[y][x] = sin(1.3 y + 0.2) + 0.1 x cos(0.7 x y).
"""
import math
import pathlib

import numpy as np
import torch
from scipy.interpolate import RectBivariateSpline

OUT = pathlib.Path(__file__).parent.parent / "models" / "resample_golden.txt"


def grid(n):
    y, x = np.mgrid[0:n, 0:n].astype(np.float64)
    return np.sin(1.3 * y + 0.2) + 0.1 * x * np.cos(0.7 * x * y)


def geometric(source, target):
    left, right = 1.01, 1.5
    while right - left > 1e-6:
        q = (left + right) / 2
        if (1 - q ** (source // 2)) / (1 - q) > target // 2:
            right = q
        else:
            left = q
    distances = np.cumsum([q ** i for i in range(source // 2)])
    points = np.concatenate([-distances[::-1], [0], distances])
    wanted = np.arange(-(target // 2), target // 2 + 1, dtype=np.float64)
    wanted = np.clip(wanted, points[0], points[-1])
    return q, RectBivariateSpline(points, points, grid(source), kx=3, ky=3, s=0)(wanted, wanted)


def bicubic(source, target):
    z = torch.from_numpy(grid(source))[None, None]
    return torch.nn.functional.interpolate(z, size=(target, target), mode="bicubic",
                                           align_corners=False)[0, 0].numpy()


def main():
    lines = []
    for w, to in ((3, 5), (4, 6), (14, 24), (14, 30), (24, 30), (30, 24), (7, 3)):
        q, values = geometric(2 * w - 1, 2 * to - 1)
        lines.append(f"geometric {2 * w - 1} {2 * to - 1} {q!r}")
        # Of the larger results every 29th value: the file stays small.
        flat = values.ravel()[:: 29 if values.size > 300 else 1]
        lines.append(" ".join(repr(float(v)) for v in flat))
    for source, target in ((3, 5), (14, 24), (24, 14)):
        lines.append(f"bicubic {source} {target}")
        values = bicubic(source, target).ravel()
        lines.append(" ".join(repr(float(v)) for v in values[:: 29 if values.size > 300 else 1]))
    assert all(math.isfinite(float(v)) for line in lines[1::2] for v in line.split())
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
