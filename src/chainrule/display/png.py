"""Small pictures as PNG, and as data of a page that fetches nothing."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels, (h, w) or (h, w, 1) grey, or (h, w, 3) in colour."""
    from PIL import Image  # noqa: PLC0415  (few reports have pictures)

    file = io.BytesIO()
    grey = pixels.ndim == 3 and pixels.shape[-1] == 1
    Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "PNG")
    return file.getvalue()


def data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    """The PNG of pixels as the address of an <img>."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode("ascii")


def between(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    """Numbers as pixels: `low` is black, `high` white."""
    share = (values.astype(np.float64) - low) / ((high - low) or 1.0)
    return np.asarray(np.round(np.clip(share, 0, 1) * 255), np.uint8)
