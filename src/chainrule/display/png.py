"""Small pictures as PNG, and as data of a page that fetches nothing."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels, (h, w) or (h, w, 1) grey, or (h, w, 3) in colour."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, channels = pixels.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """The PNG of pixels as the address of an <img>."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def between(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Numbers as pixels: `low` is black, `high` white."""
    share = (values.astype(np.float64) - low) / ((high - low) or 1.0)
    return np.asarray(np.round(np.clip(share, 0, 1) * 255), np.uint8)
