"""Finds pictures that are there twice, above all in two classes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from chainrule.data.blocks import Encoded
from chainrule.data.check import Finding
from chainrule.data.columns.pictures import PictureColumn
from chainrule.data.repeats import MIN_SHARE, keys_of
from chainrule.data.schema import Schema
from chainrule.display.format import counted, listed

SHOWN = 3
"""Pairs that are named."""


def check_pictures(schema: Schema, encoded: Encoded) -> list[Finding]:
    """The findings on equal pictures among the rows that have a target."""
    findings: list[Finding] = []
    for encoder in schema.used:
        if isinstance(encoder, PictureColumn):
            findings += _twins(encoder.name, encoded, classes=schema.classes is not None)
    return findings


def _twins(column: str, encoded: Encoded, *, classes: bool) -> list[Finding]:
    alone = replace(encoded, arrays={column: encoded.arrays[column]}, target=None)
    rows: dict[int, list[int]] = defaultdict(list)
    for row, key in enumerate(keys_of(alone).tolist()):
        rows[key].append(row)
    names = encoded.names.get(column, [f"row {row + 1}" for row in encoded.rows])
    pixels, truth = encoded.arrays[column], encoded.target
    several = [
        same for same in rows.values()
        if len(same) > 1 and (pixels[same[1:]] == pixels[same[0]]).all()
    ]  # fmt: skip
    findings = []
    if classes and truth is not None:
        torn = [same for same in several if len(np.unique(truth[same])) > 1]
        if torn:
            pairs = []
            for same in torn:
                other = next(k for k in same if truth[k] != truth[same[0]])
                pairs.append(f"{names[same[0]]!r} and {names[other]!r}")
            verb = "is" if len(torn) == 1 else "are"
            findings.append(Finding(
                "warning", column,
                f"{counted(len(torn), 'picture')} {verb} in two classes: {listed(pairs, SHOWN)}",
                "delete the one that is wrong: no network can learn both",
            ))  # fmt: skip
    again = sum(len(same) - 1 for same in several)
    if again >= MIN_SHARE * len(encoded) and again:
        share = f"{100 * again / len(encoded):.0f} %"
        findings.append(Finding(
            "warning", column, f"{again:,} of {counted(len(encoded), 'picture')} ({share}) repeat "
            "another one", "delete copies: in the rows held out they flatter the scores",
        ))  # fmt: skip
    return findings
