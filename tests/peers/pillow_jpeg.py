"""Writes tests/data/pillow_jpeg.txt: small JPEGs and the pixels that Pillow decodes them to.

    python tests/peers/pillow_jpeg.py > tests/data/pillow_jpeg.txt

A line each: name, width, height, the file in hex, its pixels in hex (RGB).
"""

import io

import PIL
from PIL import Image

WIDTH, HEIGHT = 37, 21
KINDS = {
    "420": dict(mode="RGB", subsampling=2),
    "422": dict(mode="RGB", subsampling=1),
    "444": dict(mode="RGB", subsampling=0),
    "420-progressive": dict(mode="RGB", subsampling=2, progressive=True),
    "grey": dict(mode="L"),
}


def main():
    print("# Pillow", PIL.__version__)
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            picture.putpixel((x, y), (x * 6 + y, (x * y) % 256, 255 - y * 9 - x % 7 * 5))
    for name, options in KINDS.items():
        file = io.BytesIO()
        picture.convert(options.pop("mode")).save(file, "JPEG", quality=85, **options)
        pixels = Image.open(io.BytesIO(file.getvalue())).convert("RGB").tobytes()
        print(name, WIDTH, HEIGHT, file.getvalue().hex(), pixels.hex())


if __name__ == "__main__":
    main()
