"""A table's columns as nodes: scaling, one-hot encoding, embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from chainrule.data.blocks import Block
from chainrule.data.column import Floats
from chainrule.data.columns.columns import UNSEEN
from chainrule.data.columns.encoder import (
    ArrayEncoder,
    CategoryEncoder,
    GridEncoder,
    NumericEncoder,
)
from chainrule.data.columns.stats import Stats, spread_of
from chainrule.data.columns.target import ClassTarget
from chainrule.data.schema import Schema
from chainrule.errors import SettingError, did_you_mean
from chainrule.graph.graph import Graph
from chainrule.graph.leaves import input
from chainrule.graph.node import Input, Node, Scope
from chainrule.interpret import evaluate
from chainrule.nn.init import Normal
from chainrule.nn.layers import embedding
from chainrule.ops.bounds import clip
from chainrule.ops.build import cast, constant
from chainrule.ops.compare import equal, greater, isnan, where
from chainrule.ops.elementwise import rsqrt, square
from chainrule.ops.index import one_hot, take
from chainrule.ops.join import concat
from chainrule.ops.reduce import sum
from chainrule.ops.rows import DENSE_ROWS
from chainrule.ops.shape import expand_dims

SCALINGS = ("auto", "robust", "standard", "quantile")
CLIP_SIGMA = 8.0
"""Standardised numbers are clipped at so many standard deviations."""
SOFT_CLIP = 3.0
"""Robustly scaled numbers stay below this bound, which outliers approach smoothly."""
MIN_QUANTILE_IQRS = 6.0
"""Interquartile ranges outside the quartiles from which numbers are mapped to quantiles."""
MAX_RANKED_ROWS = 1500
"""Rows below which numbers that rarely differ are mapped to quantiles: a few are far out."""
MAX_ONE_HOT = 32
"""Levels up to which a category is one-hot encoded; above, its levels are embedded."""
MIN_OTHERS, MAX_LEAST_ROWS = 2.0, 40
"""Expected rows of a level that are not of the most frequent class, and the most rows needed."""
MAX_SPIKED_COLUMNS = 16
"""Columns up to which frequent numbers are learned one by one: not for images."""
MAX_TABULAR_NUMBERS = 50
"""Columns of numbers above which a table is treated like an image."""
MIN_SMOOTH_VALUES = 5
"""Distinct values from which a column is treated as continuous."""


@dataclass(frozen=True)
class Features:
    """The columns of a table as nodes.

    Attributes:
        numbers: the scaled numbers that have many values, float32 (N, i), or None.
        others: flags, marks of gaps, categories and words, float32 (N, j), or None.
        grids: pictures (N, height, width, channels) and signals (N, length, channels), float32,
            standardised; signals of one length are channels of one node.
        target: the Input of the target, or None where the schema has none.
        treatments: for each column, in words, what its node does.
    """

    numbers: Node | None
    others: Node | None
    target: Input | None
    treatments: dict[str, str]
    grids: tuple[Node, ...] = ()

    @cached_property
    def node(self) -> Node:
        """All of them concatenated, float32 (N, width)."""
        return beside([x for x in (self.numbers, self.others) if x is not None])


def beside(parts: Sequence[Node]) -> Node:
    """Nodes (N, k) concatenated along their features."""
    return concat(parts, axis=1).within(Scope("features")) if len(parts) > 1 else parts[0]


def features(
    schema: Schema, *, scaling: str = "auto", one_hot_up_to: int = MAX_ONE_HOT,
    linear: bool = False,
) -> Features:  # fmt: skip
    """Inputs for the columns of a table, and the encoder nodes that prepare them for a network.

    Numbers: gaps are filled with the median, and marked by an indicator where the training data
    has any; then each is scaled. Categories become one-hot, or an embedding where they have many
    levels; a level that is not in the training data is all zeros. Texts come as weighted counts
    of words.

    Args:
        schema: of the table.
        scaling: "robust": median 0, quartiles 1 apart, and a smooth bend that keeps outliers
            near; "standard": mean 0, standard deviation 1; "quantile": the share of training
            values below; "auto" is robust, standard for more than 50 numbers in bounds, as pixels,
            and quantile for numbers of very different size, or that rarely differ in few rows.
        one_hot_up_to: the number of levels above which a category is embedded.
        linear: all numbers are only shifted and scaled, to mean 0 and standard deviation 1: none
            is bent or clipped, and frequent ones are learned like any other. Gaps are marked.

    Raises:
        SettingError: an unknown scaling.
    """
    if scaling not in SCALINGS:
        raise SettingError(
            "features", f"unknown scaling {scaling!r}", fix=did_you_mean(scaling, SCALINGS)
        )
    numbers: Node | None = None
    others: list[Node] = []
    grids: list[Node] = []
    treatments: dict[str, str] = {}
    for block in schema.blocks:
        if block.kind == "numbers":
            how = "linear" if linear else scaling
            numbers, others = _numbers(block, how, schema, treatments)
        elif block.kind == "grid":
            grids.append(_grid(schema, block, treatments))
        elif block.kind == "category":
            others.append(_category(schema, block, one_hot_up_to, treatments))
        elif block.kind == "categories":
            others += _categories(schema, block, one_hot_up_to, treatments)
        else:
            others.append(input(block.name, (block.width,)))
            (encoder,) = (e for e in schema.used if e.name == block.columns[0])
            if isinstance(encoder, ArrayEncoder):
                treatments[encoder.name] = encoder.features
            elif isinstance(encoder, CategoryEncoder) and encoder.words is not None:
                treatments[encoder.name] += f"; and {encoder.words.features}"
    joined = beside(others) if others else None
    return Features(numbers, joined, target_input(schema), treatments, _as_channels(grids))


def knots(numbers: Node, schema: Schema) -> Floats:
    """The quantiles of `Features.numbers` in the training data, scaled likewise, (i, KNOTS)."""
    (block,) = (x for x in schema.blocks if x.kind == "numbers")
    rows = np.array([member.stats.quantiles for member in block.members]).T
    graph = Graph(numbers)
    (x,) = graph.inputs
    scaled = evaluate(graph, {x: rows}, rows=len(rows), keep=(numbers,))[numbers]
    return np.maximum.accumulate(scaled).T  # rounding may make them decrease


def target_input(schema: Schema) -> Input | None:
    """The Input that holds the target: a class number, or a number in its own unit."""
    if schema.target is None:
        return None
    return input(schema.target.name, (), "int32" if schema.classes is not None else "float64")


# ---------------------------------------------------------------- numbers


def _numbers(
    block: Block, scaling: str, schema: Schema, treatments: dict[str, str]
) -> tuple[Node | None, list[Node]]:
    """The continuous numbers of a table, scaled; and the others, with the indicators of gaps."""
    x = input(block.name, (block.width,), "float64")  # large numbers keep their last digits
    stats = [member.stats for member in block.members]
    gaps = isnan(x).within(Scope(f"{block.name}.gaps"))
    filled = where(gaps, np.array([s.median for s in stats]), x)
    filled = filled.within(Scope(f"{block.name}.filled"))
    scaled, how = _SCALED[_default_scaling(stats) if scaling == "auto" else scaling]
    distinct = {encoder.name: encoder.distinct for encoder in schema.used}
    many = np.array([distinct[member.column] >= MIN_SMOOTH_VALUES for member in block.members])
    few_rows = schema.rows < MAX_RANKED_ROWS and len(stats) <= MAX_TABULAR_NUMBERS
    wide = many & np.array([scaling == "auto" and _wide_range(s, few_rows) for s in stats])
    parts: list[Node] = []
    for suffix, among, scale in (
        ("scaled", many & ~wide, scaled), ("ranked", wide, _through_quantiles),
        ("few", ~many, scaled),
    ):  # fmt: skip
        if len(chosen := np.flatnonzero(among)):
            z = scale(_select(filled, chosen), [stats[k] for k in chosen])
            parts.append(cast(z, "float32").within(Scope(f"{block.name}.{suffix}")))
    first = int((many & ~wide).any()) + int(wide.any())
    numbers, parts = beside(parts[:first]) if first else None, parts[first:]
    marked = [k for k, s in enumerate(stats) if s.gaps]
    if marked:
        parts.append(cast(_select(gaps, marked), "float32").within(Scope(f"{block.name}.missing")))
    encoders = {e.name: e for e in schema.used if isinstance(e, NumericEncoder)}
    spiked = [name for name, e in encoders.items() if e.one_by_one and scaling != "linear"]
    for k, member in enumerate(block.members):
        text = _SCALED["quantile"][1] if wide[k] else how
        encoder = encoders[member.column]
        text = text if member.column == member.name else f"{encoder.part_words}, {text}"
        text += ", gaps filled with the median and marked" if stats[k].gaps else ""
        if member.column in spiked and len(spiked) <= MAX_SPIKED_COLUMNS:
            parts.append(_shared(x[:, k], encoder))
            text += f", and {len(encoder.one_by_one)} values that many rows share one by one"
        treatments.setdefault(member.column, text)
    return numbers, parts


def _shared(x: Node, encoder: NumericEncoder) -> Node:
    """One column (N,) as a category: a level for each frequent number, and one for all others."""
    values, last = np.array(encoder.one_by_one), len(encoder.one_by_one)
    equals, below = (
        sum(cast(compare(expand_dims(x, 1), values), "int32"), axis=1)
        for compare in (equal, greater)
    )
    codes = cast(where(greater(equals, 0), below, last), "int32")
    return _levels(codes.within(Scope(f"{encoder.name}.shared")), last + 1, encoder.name)


def _levels(codes: Node, count: int, name: str) -> Node:
    """Codes (N,) as an embedding; of many levels, those that no example has rest in a step."""
    width = min(64, round(1.6 * count**0.56))
    sparse = True if count > DENSE_ROWS else None
    return embedding(
        codes, count, width, name=f"{name}.embedding", init=Normal(0.05), sparse=sparse
    )


def _select(x: Node, columns: Sequence[int] | npt.NDArray[np.int64]) -> Node:
    """Some columns of x (N, width)."""
    if len(columns) == x.shape[1]:
        return x
    return take(x, constant(np.asarray(columns, dtype="int32")), axis=1)


def _default_scaling(stats: Sequence[Stats]) -> str:
    """The scaling of a table's numbers: standard where there are many in bounds, as pixels are."""
    if len(stats) <= MAX_TABULAR_NUMBERS:
        return "robust"
    far = [max(s.quantiles[-1] - s.mean, s.mean - s.quantiles[0]) / (s.std or 1.0) for s in stats]
    return "standard" if np.median(far) <= CLIP_SIGMA else "robust"


def _robust(x: Node, stats: list[Stats]) -> Node:
    """Median 0 and interquartile range 1, outliers softly clipped at 3. x (N, k)."""
    median = np.array([s.median for s in stats])
    z = clip((x - median) / np.array([spread_of(s) for s in stats]), -1e6, 1e6)
    return z * rsqrt(1 + square(z / SOFT_CLIP))


def _wide_range(stats: Stats, few_rows: bool) -> bool:
    """Whether numbers differ so much in size that most would coincide when scaled: lognormal ones.

    A thirtieth of them lies MIN_QUANTILE_IQRS interquartile ranges outside the quartiles; or both
    quartiles are equal, and there are few rows.
    """
    low, high = stats.quartiles
    if low == high:
        return few_rows
    outside = max(stats.quantiles[-2] - high, low - stats.quantiles[1])
    return outside > MIN_QUANTILE_IQRS * (high - low) > 0


def _linear(x: Node, stats: list[Stats]) -> Node:
    """Mean 0 and standard deviation 1 as training had them. x (N, k)."""
    mean = np.array([s.mean for s in stats])
    return (x - mean) / np.array([s.std if s.std > 0 else 1.0 for s in stats])


def _standardised(x: Node, stats: list[Stats]) -> Node:
    """Mean 0 and standard deviation 1 as training had them, clipped. x (N, k)."""
    return clip(_linear(x, stats), -CLIP_SIGMA, CLIP_SIGMA)


def _through_quantiles(x: Node, stats: list[Stats]) -> Node:
    """The share of training values below x, piecewise linear between quantiles, and scaled to
    mean 0 and standard deviation 1. x (N, k)."""
    parts = zip(*map(_segments, stats), strict=True)
    starts, widths, weights, least = (np.stack(part) for part in parts)
    inside = clip((expand_dims(x, 2) - starts) / widths, 0.0, 1.0)  # (N, k, segments)
    share = sum(inside * weights, axis=2) + least
    return (share - 0.5) * 12**0.5


def _segments(stats: Stats) -> tuple[Floats, Floats, Floats, Floats]:
    """Starts, widths and weights of the pieces between distinct quantiles, and the lowest share.

    A frequent value covers several quantiles: its share is their middle. Unused pieces have
    weight 0.
    """
    knots = np.array(stats.quantiles)
    distinct, place = np.unique(knots, return_inverse=True)
    middle = np.bincount(place, np.arange(len(knots))) / np.bincount(place) / (len(knots) - 1)
    pieces = len(knots) - 1
    starts, widths, weights = np.zeros(pieces), np.ones(pieces), np.zeros(pieces)
    used = len(distinct) - 1
    starts[:used], widths[:used] = distinct[:-1], np.diff(distinct)
    weights[:used] = np.diff(middle)
    return starts, widths, weights, middle[0]


_SCALED: dict[str, tuple[Callable[[Node, list[Stats]], Node], str]] = {
    "robust": (_robust, "scaled by its quartiles, outliers bent inwards"),
    "standard": (_standardised, "standardised"),
    "quantile": (_through_quantiles, "through its quantiles"),
    "linear": (_linear, "standardised, without a bound"),
}
"""By scaling, its function and its description."""


# ---------------------------------------------------------------- pictures and signals


def _grid(schema: Schema, block: Block, treatments: dict[str, str]) -> Node:
    """The pictures or signals of a column, standardised by channel."""
    encoder = next(e for e in schema.used if e.name == block.name)
    assert isinstance(encoder, GridEncoder)
    treatments[encoder.name] = encoder.treatment
    x = input(block.name, block.shape)
    mean, std = (np.array(values, np.float32) for values in (encoder.mean, encoder.std))
    return ((x - mean) / std).within(Scope(f"{block.name}.scaled"))


def _as_channels(grids: Sequence[Node]) -> tuple[Node, ...]:
    """Pictures as they are; signals of one length as channels of one."""
    alike: dict[object, list[Node]] = {}
    for node in grids:
        key = node.shape[1] if node.ndim == 3 else node
        alike.setdefault(key, []).append(node)
    return tuple(
        concat(nodes, axis=2).within(Scope("signals")) if len(nodes) > 1 else nodes[0]
        for nodes in alike.values()
    )


# ---------------------------------------------------------------- categories


def _category(schema: Schema, block: Block, limit: int, treatments: dict[str, str]) -> Node:
    """One category's codes as one-hot columns, or as an embedding."""
    codes = input(block.name, (), "int32")
    encoder = next(e for e in schema.used if e.name == block.name)
    assert isinstance(encoder, CategoryEncoder)
    met = encoder.met
    if len(met) > limit:
        return _embedded(codes, encoder, schema, treatments)
    treatments[block.name] = f"one-hot, {len(met)} columns"
    # Codes that are not in the training data have no column: all zeros, not untrained noise.
    return _select(one_hot(codes, block.width), met).within(Scope(f"{block.name}.one_hot"))


def _categories(schema: Schema, block: Block, limit: int, treatments: dict[str, str]) -> list[Node]:
    """Many categories' codes (N, width) as one-hot columns, all at once, and as embeddings."""
    codes = input(block.name, (block.width,), "int32")
    encoders = {e.name: e for e in schema.used if isinstance(e, CategoryEncoder)}
    columns: list[int] = []
    levels: list[int] = []
    embedded: list[Node] = []
    for k, name in enumerate(block.columns):
        met = encoders[name].met
        if len(met) > limit:
            embedded.append(_embedded(codes[:, k], encoders[name], schema, treatments))
            continue
        treatments[name] = f"one-hot, {len(met)} columns"
        columns += [k] * len(met)
        levels += met
    if not columns:
        return embedded
    spread = take(codes, constant(np.array(columns, np.int32)), axis=1)
    hot = cast(equal(spread, np.array(levels, np.int32)), "float32")
    return [hot.within(Scope(f"{block.name}.one_hot")), *embedded]


def _embedded(
    codes: Node, encoder: CategoryEncoder, schema: Schema, treatments: dict[str, str]
) -> Node:
    """A category's codes as an embedding; levels with few rows share that of unseen levels."""
    least, met = _least_rows(schema), encoder.met
    rare = [k for k in met if k > UNSEEN and encoder.counts and encoder.counts[k] < least]
    text = f"embedded, {len(met)} levels"
    if rare:
        places = np.arange(encoder.width, dtype=np.int32)
        places[rare] = UNSEEN
        codes = take(constant(places), codes, axis=0).within(Scope(f"{encoder.name}.frequent"))
        text += f", of which {len(rare)} with under {least} rows share one,"
    vectors = _levels(codes, encoder.width, encoder.name)
    treatments[encoder.name] = f"{text} in {vectors.shape[1]} numbers"
    return vectors


def _least_rows(schema: Schema) -> int:
    """The rows of a level from which it has a vector of its own; 1 where a number is predicted.

    Two of them are expected not to be of the most frequent class: of fewer, a vector would learn
    by heart which levels happen to have one.
    """
    if not isinstance(schema.target, ClassTarget):
        return 1
    counts = np.array(schema.target.counts)
    others = float(1 - counts.max() / counts.sum())
    return min(round(MIN_OTHERS / others), MAX_LEAST_ROWS)
