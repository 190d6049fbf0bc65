"""Pictures: files or arrays of pixels, brought to one size, grey or in colour."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from chainrule.data.column import Column, shape_words
from chainrule.data.columns.encoder import GridEncoder, not_all, register
from chainrule.data.columns.mirror import mirror_share, swapped_share
from chainrule.data.columns.picturefiles import (
    Decoded,
    Seen,
    all_grey,
    chosen_size,
    decode,
    is_picture,
    located,
    look,
    told,
)
from chainrule.display.format import counted
from chainrule.errors import DataError, SettingError

LONGEST_SIDE = 64
"""Pixels of the longer side up to which pictures keep their size."""
COLOURS = ("grey", "colour")
PEEKED = 100
"""Names of a column that are looked for as files, before they are taken for pictures."""
SAMPLE = 64
"""Pictures that are looked at for colours, where their files could hold some."""
FAR = 100
"""Times the scale of the training pixels, from which others are of another unit."""
STATS_OF = 10_000
"""Pictures of which mean and standard deviation are taken."""


@register
class PictureColumn(GridEncoder, frozen=True, kw_only=True, tag="picture"):
    """Pictures of one size: 0 to 255 for each pixel and channel.

    Attributes:
        height, width: to which files are scaled.
        channels: 1 for grey, 3 for colour.
        mirror: the share of pictures that a linear rule tells from their mirror images: 0.5 where
            left and right are alike.
        swapped: how much smaller the share of pictures is whose class a linear rule tells, beyond
            chance, where they are mirrored: near 1 for arrows to the left and to the right.
    """

    height: int
    width: int
    channels: int
    mirror: float = 1.0
    swapped: float = 0.0

    kind = "picture"

    @classmethod
    def guess(cls, column: Column) -> str | None:
        """The reason why a column holds pictures: arrays of them, or names of files."""
        if column.storage == "array" and column.values.ndim >= 3:
            return f"arrays of {shape_words(column.values.shape[1:])}"
        if not _named(column) or lost_pictures(column):
            return None
        return f"{counted(len(column.texts), 'file')} with pictures"

    @classmethod
    def fit(
        cls, column: Column, reason: str = "", size: Sequence[int] = (), colour: str | None = None,
        classes: NDArray[Any] | None = None,
    ) -> Self:  # fmt: skip
        """Choose size and channels, where they are left open, and learn mean and deviation.

        Args:
            size: height and width, or one number for both.
            colour: "grey" or "colour".
            classes: the code of the class of each picture, (n,).

        Raises:
            DataError: no picture can be read.
        """
        if column.storage == "array":
            height, width, channels = _shape_of(column)
        elif column.storage == "text":
            if len(size) > 2:
                raise SettingError("size", "a picture has a height and a width",
                                   got=", ".join(map(str, size)), fix="size=(48, 64)")  # fmt: skip
            seen = look(_files(column), column.folder)
            height, width, channels = _chosen(column, seen, size, colour)
            reason += _sizes(seen)
        else:
            raise not_all(column, "pictures", "it holds neither arrays nor names of files")
        blank = cls(name=column.name, reason=reason, gaps=0, distinct=column.distinct,
                    height=height, width=width, channels=channels,
                    mean=(0.0,) * channels, std=(1.0,) * channels)  # fmt: skip
        absent = blank.absent(column)
        if absent.all():
            raise DataError(f"column {column.name!r}", "no picture can be read",
                            got="; ".join(blank.encode(column)[1][:3]) or None)  # fmt: skip
        rows = np.flatnonzero(~absent)
        rows = rows[:: -(-len(rows) // STATS_OF)]
        pictures = blank.encode(column.take(rows))[0]
        pixels, mirror, swapped = pictures.reshape(-1, channels), mirror_share(pictures), 0.0
        if classes is not None:
            swapped = swapped_share(pictures, classes[rows])
        mean, std = pixels.mean(axis=0, dtype=np.float64), pixels.std(axis=0, dtype=np.float64)
        return msgspec.structs.replace(
            blank, mean=tuple(mean.tolist()), gaps=int(absent.sum()), mirror=mirror,
            swapped=swapped, std=tuple(np.where(std > 0, std, 1.0).tolist()),
        )  # fmt: skip

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    @property
    def treatment(self) -> str:
        """The treatment of the column in words, for display."""
        colour = "grey" if self.channels == 1 else "colour"
        colour = f"{self.channels} channels" if self.channels not in (1, 3) else colour
        return f"{self.height} x {self.width} pixels, {colour}, standardised"

    def absent(self, column: Column) -> NDArray[np.bool_]:
        """The cells without a picture that can be read, (n,)."""
        if column.storage != "text":
            return column.missing
        codes, decoded = self._decoded(column)
        lost = np.zeros(len(decoded.names) + 1, bool)
        lost[list(decoded.problems)] = True
        lost[-1] = True  # a gap
        return np.asarray(lost[codes])

    def encode(self, column: Column) -> tuple[NDArray[Any], list[str]]:
        """(n, height, width, channels), 0 where there is no picture, and notes."""
        if column.storage == "array":
            if _shape_of(column) != self.shape:
                raise DataError(
                    f"column {column.name!r}", "the pictures have another size",
                    expected=shape_words(self.shape), got=shape_words(column.values.shape[1:]),
                    fix="scale them, as files of pictures are when they are read; one picture is "
                    "a batch of one: x[None]",
                )  # fmt: skip
            pixels = column.values.reshape(len(column), *self.shape)
            return pixels, self._on_scale(pixels)
        if column.storage != "text":
            raise not_all(column, "pictures", "it holds neither arrays nor names of files")
        codes, decoded = self._decoded(column)
        notes = told(decoded, sorted({*codes.tolist()} - {-1}), self.name)
        notes += self.new_gaps(int((codes < 0).sum()))
        count = len(decoded.names)
        if len(codes) == count and (codes == np.arange(count)).all():
            return decoded.pixels, notes + self._on_scale(decoded.pixels)
        pixels = np.zeros((len(codes), *self.shape), np.uint8)
        pixels[codes >= 0] = decoded.pixels[codes[codes >= 0]]
        return pixels, notes + self._on_scale(pixels)

    def _on_scale(self, pixels: NDArray[Any]) -> list[str]:
        """The note on pixels of 0 to 1 where training had 0 to 255, or the reverse."""
        if not pixels.size:
            return []
        high, mean = float(pixels.max()), float(np.mean(self.mean))
        beyond = high > FAR * (abs(mean) + float(np.mean(self.std)))
        if not beyond and not (pixels.dtype.kind == "f" and 0 < high <= 1 < mean):
            return []
        fix = "divide by 255" if beyond else "multiply by 255"
        return [f"column {self.name!r}: pixels up to {high:.3g}, and their mean in training is "
                f"{mean:.3g}: {fix}"]  # fmt: skip

    def _decoded(self, column: Column) -> tuple[NDArray[Any], Decoded]:
        """The place of each cell among some files, -1 for a gap, and these files decoded.

        The pixels of most files of a column are remembered, so that they are decoded once.
        """
        assert column.levels is not None
        used = np.unique(column.values)
        used = used[used >= 0]
        key = ("pictures", self.shape)
        known, decoded = column.parsed.get(key, (None, None))
        if known is None or not np.isin(used, known).all():
            names = [f"{column.levels[k]}{column.ending}" for k in used]
            size = self.height, self.width
            known, decoded = used, decode(names, column.folder, size, self.channels)
            if len(used) > 0.5 * len(column.levels):
                column.parsed[key] = known, decoded
        places = np.full(len(column.levels) + 1, -1)
        places[known] = np.arange(len(known))
        return places[column.values], decoded


def _named(column: Column) -> list[str]:
    """Some of the texts that are names of pictures; none where over a tenth are others."""
    if column.storage != "text" or not column.distinct:
        return []
    texts = _files(column)
    some = texts[:: -(-len(texts) // PEEKED)]
    names = [text for text in some if is_picture(text)]
    return names if len(names) >= 0.9 * len(some) else []


def _files(column: Column) -> list[str]:
    """The names of files that the texts of a column stand for."""
    return [text + column.ending for text in column.texts]


def lost_pictures(column: Column) -> str | None:
    """The path at which the first picture of a column is looked for, where none is there."""
    paths = list(map(located(column.folder), _named(column)))
    return None if not paths or any(map(os.path.exists, paths)) else paths[0]


def _shape_of(column: Column) -> tuple[int, int, int]:
    """Height, width and channels of arrays (n, h, w) or (n, h, w, c). Raises DataError."""
    shape = column.values.shape[1:]
    if len(shape) == 2:
        return (*shape, 1)
    if len(shape) == 3 and shape[-1] <= 4:
        return shape[0], shape[1], shape[2]
    raise DataError(
        f"column {column.name!r}", "the arrays do not have the shape of pictures",
        expected="(rows, height, width), or (rows, height, width, channels) of 1 to 4 channels",
        got=str(column.values.shape),
        fix="x.transpose(0, 2, 3, 1) moves channels to the end" if len(shape) == 3 else None,
    )  # fmt: skip


def _sizes(seen: Sequence[Seen]) -> str:
    """The sizes of files in words: ', 80 x 60 to 200 x 300 pixels'."""
    if not seen:
        return ""
    least, most = (
        " x ".join(str(which(getattr(x, side) for x in seen)) for side in ("height", "width"))
        for which in (min, max)
    )
    return f", {least} pixels" if least == most else f", {least} to {most} pixels"


def _chosen(
    column: Column, seen: Sequence[Seen], size: Sequence[int], colour: str | None
) -> tuple[int, int, int]:
    """Height, width and channels of files, where they are left open."""
    names = _files(column)
    if size:
        height, width = (size[0], size[-1])
    elif seen:
        height, width = chosen_size(seen, LONGEST_SIDE)
    else:
        height = width = 1  # none can be read, which is told by whoever decodes them
    if colour is not None:
        return height, width, 1 if colour == "grey" else 3
    coloured = any(x.coloured for x in seen)
    if coloured:  # files of grey pictures may be able to hold colours
        some = names[:: -(-len(names) // SAMPLE)]
        coloured = not all_grey(decode(some, column.folder, (height, width), 3).pixels)
    return height, width, 3 if coloured else 1
