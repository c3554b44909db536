"""Writes tests/data/pillow_image.txt: what Pillow computes for small made-up pictures.

    python tests/peers/pillow_golden.py > tests/data/pillow_image.txt

Every line: operation, arguments, result as hexadecimal bytes [height][width][3]. Pixels of the
input are the top bytes of x <- 1664525 x + 1013904223 (mod 2^32), first the one after x = seed.
"""
import PIL
from PIL import Image, ImageEnhance, ImageOps


def picture(width, height, seed, low=0, high=255):
    data = bytearray()
    x = seed
    for _ in range(width * height * 3):
        x = (1664525 * x + 1013904223) % 2**32
        data.append(low + (x >> 24) * (high - low) // 255)
    return Image.frombytes("RGB", (width, height), bytes(data))


RESIZES = [  # width, height, box, new width, new height
    (17, 13, None, 8, 5), (5, 7, None, 13, 9), (1, 1, None, 3, 2), (1, 9, None, 4, 5),
    (33, 29, None, 1, 1), (12, 6, None, 12, 3), (6, 12, None, 2, 12), (7, 4, None, 7, 4),
    (20, 18, (2.5, 3.25, 15.75, 12), 7, 9), (20, 18, (4, 5, 11, 12), 9, 9),
    (9, 8, (0.25, 0, 9, 7.5), 9, 8), (40, 3, (10, 1, 10.5, 2), 5, 4), (18, 41, None, 6, 7),
]
print("# Pillow", PIL.__version__)
for number, (w, h, box, nw, nh) in enumerate(RESIZES):
    for name, kind in (("bicubic", Image.Resampling.BICUBIC), ("box", Image.Resampling.BOX)):
        edges = left, top, right, bottom = box or (0, 0, w, h)
        # Two calls, so that rows come first as in every Pillow up to 12; 13 begins with the columns
        # of some tall pictures, which rounds otherwise by up to one level.
        out = picture(w, h, number).resize((nw, h), kind, (left, 0, right, h))
        out = out.resize((nw, nh), kind, (0, top, nw, bottom))
        print(name, w, h, number, *edges, nw, nh, out.tobytes().hex())
for name, operation, size, low, high in (
    ("autocontrast", ImageOps.autocontrast, (9, 6), 20, 181),
    ("equalize", ImageOps.equalize, (33, 16), 60, 90),
    ("brightness", lambda i: ImageEnhance.Brightness(i).enhance(1.36), (9, 6), 0, 255),
    ("sharpness", lambda i: ImageEnhance.Sharpness(i).enhance(1.36), (9, 6), 0, 255),
):
    print(name, *size, 99, low, high, operation(picture(*size, 99, low, high)).tobytes().hex())
