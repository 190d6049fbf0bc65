"""Decodes files of pictures to arrays of one size, with what was done to each, or why not."""

from __future__ import annotations

import os
import stat
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chainrule.display.format import counted
from chainrule.errors import DataError
from chainrule.system.processors import processors

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]

SUFFIXES = frozenset((
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp",
    ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".tga", ".pcx", ".jp2", ".avif", ".mpo",
))  # fmt: skip
"""Endings of the names of pictures."""
FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "ICO", "TGA", "PCX",
    "JPEG2000", "AVIF",
)  # fmt: skip
"""The formats that Pillow may take a file for: they hold pixels, and none starts a program."""
MAX_PIXELS = 89_478_485
"""Pixels from which a file is refused as a decompression bomb: Pillow's limit."""
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, MemoryError,
    struct.error, zlib.error,
)  # fmt: skip
"""The errors of Pillow for a file that is damaged, in its many formats."""
ORIENTATION = 0x0112
"""The tag of EXIF data that says how the camera was held."""
LOOKED_AT = 1000
"""Files whose size and mode are looked at for a choice."""

Size = tuple[int, int]
"""Height and width."""

ANIMATED = "animated or of several pages: the first picture is read"
TURNED = "turned as the EXIF data say"
ALPHA = "partly transparent: laid on white"
DEEP = "of 16 bits a channel: reduced to 8"
PRINTED = "in the colours of print (CMYK): converted"
GREY = "grey: read in colour, as the network takes them"
REMARKS = (ANIMATED, TURNED, ALPHA, DEEP, PRINTED, GREY)
GREYS = ("1", "L", "LA", "I", "F", "I;16")
"""Pillow's modes of files that can hold no colours."""


class Unreadable(ValueError):
    """The reason why a file gives no picture."""


@dataclass(frozen=True)
class Seen:
    """The size of a picture as it is shown, and whether it may hold colours."""

    height: int
    width: int
    coloured: bool


@dataclass(frozen=True)
class Decoded:
    """The pixels of files.

    Attributes:
        names: of the files.
        pixels: (files, height, width, channels), 0 where there is a problem.
        problems: why a file has no picture, by its position.
        remarks: what of REMARKS was done to a file, by its position.
    """

    names: Sequence[str]
    pixels: Pixels
    problems: dict[int, str]
    remarks: dict[int, list[str]]


def is_picture(name: str | os.PathLike[str]) -> bool:
    """Whether a name ends like that of a picture."""
    return os.path.splitext(os.fspath(name))[1].lower() in SUFFIXES


def look(names: Sequence[str], folder: str) -> list[Seen]:
    """Sizes and modes of at most LOOKED_AT of some files; those that cannot be read are passed."""
    paths = list(map(located(folder), names))
    step = -(-len(paths) // LOOKED_AT)
    with _pillow():
        return [seen for seen in map(_look, paths[:: max(step, 1)]) if seen is not None]


def _look(path: str) -> Seen | None:
    try:
        with _opened(path) as image:
            height, width = image.height, image.width
            if image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8):
                height, width = width, height
            return Seen(height, width, image.mode not in GREYS)
    except (Unreadable, *DAMAGED):
        return None


def decode(names: Sequence[str], folder: str, size: Size, channels: int) -> Decoded:
    """The pixels of files at one size, on all processors; their order is that of the names.

    A picture is scaled so that it covers the size, and what is beyond is cut on both sides alike.

    Args:
        folder: that the names are relative to.
        size: height and width.
        channels: 1 for grey, 3 for colour.
    """
    pixels = np.zeros((len(names), *size, channels), np.uint8)
    problems: dict[int, str] = {}
    remarks: dict[int, list[str]] = {}
    paths = list(map(located(folder), names))

    def work(k: int) -> tuple[str, list[str]]:
        done: list[str] = []
        try:
            pixels[k] = _decode(paths[k], size, channels, done)
        except Unreadable as reason:
            return str(reason), []
        except DAMAGED as error:
            return _damage(error), []
        return "", done

    with _pillow(), ThreadPoolExecutor(processors()) as pool:
        for k, (problem, done) in enumerate(pool.map(work, range(len(paths)))):
            if problem:
                problems[k] = problem
            if done:
                remarks[k] = done
    return Decoded(names, pixels, problems, remarks)


@contextmanager
def _pillow() -> Iterator[None]:
    """Pillow's warnings on damaged files do not reach the user, that on bombs is an error."""
    try:
        from PIL import Image  # noqa: PLC0415  (tables need no pictures)
    except ImportError:
        raise DataError(
            "pictures", "they are read by Pillow, which is not installed",
            fix="pip install pillow",
        ) from None  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _opened(path: str) -> Image.Image:
    """A file as Pillow opens it: its head is read, and no pixel decoded. Raises Unreadable."""
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415  (tables need no pictures)

    try:
        found = os.stat(path)
    except ValueError:
        raise Unreadable("no such file") from None
    except OSError as error:
        raise Unreadable((error.strerror or "no such file").lower()) from None
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("not a file")
    if not found.st_size:
        raise Unreadable("the file is empty")
    try:
        image = Image.open(path, formats=_formats())
    except UnidentifiedImageError:
        raise Unreadable("not a picture that can be read") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Unreadable(f"a decompression bomb: {_pixels_in(str(error))}") from None
    except PermissionError:
        raise Unreadable("permission denied") from None
    if image.width * image.height > MAX_PIXELS:
        pixels = f"{image.width:,} x {image.height:,} pixels"
        image.close()
        raise Unreadable(f"a decompression bomb: {pixels}, at most {MAX_PIXELS:,} are decoded")
    return image


@cache
def _formats() -> list[str]:
    """Those of FORMATS that this Pillow was built with."""
    from PIL import Image  # noqa: PLC0415  (tables need no pictures)

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _pixels_in(message: str) -> str:
    """The number of pixels in Pillow's message on a bomb."""
    numbers = [int(x) for x in message.replace("(", " ").split() if x.isdecimal()]
    return f"{numbers[0]:,} pixels, at most {MAX_PIXELS:,} are decoded" if numbers else message


def _damage(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    what = text[0] if text else type(error).__name__
    return "the file is truncated" if "truncated" in what.lower() else f"damaged: {what[:80]}"


def _decode(path: str, size: Size, channels: int, done: list[str]) -> Pixels:
    """The pixels of one file, (height, width, channels); adds to `done` what was done to it."""
    from PIL import Image, ImageOps  # noqa: PLC0415  (tables need no pictures)

    height, width = size
    with _opened(path) as opened:
        if getattr(opened, "is_animated", False) and opened.format != "MPO":
            done.append(ANIMATED)
        if channels == 3 and opened.mode in GREYS:
            done.append(GREY)
        side = 2 * max(size)
        opened.draft("L" if channels == 1 else "RGB", (side, side))  # JPEG: decoded smaller
        opened.load()
        if opened.getexif().get(ORIENTATION, 1) in range(2, 9):
            done.append(TURNED)
        image: Image.Image = ImageOps.exif_transpose(opened)
        image = _in_eight_bits(_on_white(image, done), done)
        if image.mode == "CMYK":
            done.append(PRINTED)
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != (width, height):
            image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        return np.asarray(image, np.uint8).reshape(height, width, channels)


def _on_white(image: Image.Image, done: list[str]) -> Image.Image:
    """A picture without transparency, and without a palette."""
    from PIL import Image  # noqa: PLC0415  (tables need no pictures)

    clear = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info
    if not clear:
        return image.convert("RGB") if image.mode == "P" else image
    layers = image.convert("RGBA")
    if layers.getchannel("A").getextrema()[0] == 255:
        return layers.convert("RGB")
    done.append(ALPHA)
    white = Image.new("RGBA", layers.size, "white")
    return Image.alpha_composite(white, layers).convert("RGB")


def _in_eight_bits(image: Image.Image, done: list[str]) -> Image.Image:
    """A picture whose channels have 8 bits. Raises Unreadable for fractions."""
    from PIL import Image  # noqa: PLC0415  (tables need no pictures)

    if image.mode == "F":
        raise Unreadable("its pixels are fractions, and have no known scale")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise Unreadable("its pixels have more than 16 bits")
    done.append(DEEP)
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def chosen_size(seen: Sequence[Seen], longest: int) -> Size:
    """Height and width for pictures: those that all have, or the median, at most `longest`."""
    heights, widths = (np.array([getattr(x, k) for x in seen]) for k in ("height", "width"))
    alike = len(set(heights)) == len(set(widths)) == 1
    height, width = float(np.median(heights)), float(np.median(widths))
    if not alike and 0.8 < height / width < 1.25:
        height = width = min(height, width)
    shrink = min(longest / max(height, width), 1.0)
    return max(round(height * shrink), 1), max(round(width * shrink), 1)


def all_grey(pixels: Pixels) -> bool:
    """Whether pictures (n, height, width, 3) hold no colours."""
    return bool((pixels == pixels[..., :1]).all())


def located(folder: str) -> Callable[[str], str]:
    """From the names of files to their paths; folders may be divided by backslashes."""
    base = Path(folder)

    def path(name: str) -> str:
        found = str(base / Path(name).expanduser())
        if "\\" not in name or os.path.lexists(found):
            return found
        return str(base / name.replace("\\", "/"))

    return path


def told(decoded: Decoded, places: Sequence[int], column: str) -> list[str]:
    """Notes on what was done to some of the pictures, with counts."""
    lines: list[str] = []
    lost: dict[str, list[str]] = {}
    done: Counter[str] = Counter()
    for k in places:
        if k in decoded.problems:
            lost.setdefault(decoded.problems[k], []).append(decoded.names[k])
        done.update(decoded.remarks.get(k, ()))
    if lost:
        parts = []
        for why, files in lost.items():
            shown = ", ".join(map(repr, files[:3])) + (", ..." if len(files) > 3 else "")
            parts.append(f"{why} ({len(files):,}: {shown})")
        more = f"; and {len(parts) - 5} more reasons" if len(parts) > 5 else ""
        count = sum(map(len, lost.values()))
        of = counted(len(places), "picture")
        lines.append(f"column {column!r}: {count:,} of {of} cannot be read: "
                     + "; ".join(parts[:5]) + more)  # fmt: skip
    return lines + [
        f"column {column!r}: {counted(done[x], 'picture')} {x}" for x in REMARKS if done[x]
    ]
