"""Writes jpeg/*.jpg and, decoded from each by libjpeg-turbo, jpeg/*.png, which tests/jpeg_reference.rs reads.

Run once, with Pillow 13.0.0 (libjpeg-turbo 3.2.0):  python make_jpeg_reference.py
"""

import math
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT = 43, 29  # no multiple of a block, so that edges count


def drawing() -> Image.Image:
    """Color edges and slopes, on which IDCTs and chroma interpolations differ."""
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            stripe = 200 if (x // 5 + y // 7) % 2 else 30
            wave = int(127 + 120 * math.sin(x * 0.7 + y * 0.31))
            picture.putpixel((x, y), (stripe, wave, 255 - 6 * x))
    return picture


KINDS = {
    "baseline_420": dict(subsampling="4:2:0"),
    "baseline_422": dict(subsampling="4:2:2"),
    "baseline_444": dict(subsampling="4:4:4"),
    "progressive_420": dict(subsampling="4:2:0", progressive=True),
    "restarts_420": dict(subsampling="4:2:0", restart_marker_blocks=2),
    "rgb": dict(keep_rgb=True),
    "gray": dict(mode="L"),
    "cmyk": dict(mode="CMYK"),
    "progressive_cmyk": dict(mode="CMYK", progressive=True),
}

folder = Path(__file__).parent / "jpeg"
folder.mkdir(exist_ok=True)
for name, options in KINDS.items():
    options = dict(options)
    picture = drawing().convert(options.pop("mode", "RGB"))
    picture.save(folder / f"{name}.jpg", quality=70, **options)
    Image.open(folder / f"{name}.jpg").convert("RGB").save(folder / f"{name}.png", optimize=True)
