"""The numbers that the network gets of each column of a table: its encoders, and their entries."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.data.blocks import Block
from chainrule.data.columns.columns import BooleanColumn, CategoryColumn
from chainrule.data.columns.encoder import CategoryEncoder, Encoder, NumericEncoder
from chainrule.data.features import features
from chainrule.data.readers.memory import from_mapping
from chainrule.data.schema import Schema
from chainrule.data.table import Table
from chainrule.explain.trace import Trace
from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Input, Node, Operation, Parameter
from chainrule.graph.step import STEP_INPUTS
from chainrule.interpret import evaluate
from chainrule.model.readings import reading_form
from chainrule.model.state import ModelState
from chainrule.types import N

MAX_PARTS = 2_000
"""Numbers made of the columns of which it is found what they become; of more, none is."""

MAX_CODES = 40
"""Codes of a category that are tried for that."""


def typical_row(schema: Schema) -> Table:
    """Returns a table of one row: medians, the most frequent levels, gaps for other kinds."""
    return from_mapping({e.name: [_typical(e)] for e in schema.used}, "typical values")


def _typical(encoder: Encoder) -> Any:
    if encoder.kind == "number" and isinstance(encoder, NumericEncoder):
        return encoder.parts[0][1].median
    if isinstance(encoder, BooleanColumn):
        return encoder.true if encoder.stats.median >= 0.5 else encoder.false
    if isinstance(encoder, CategoryColumn) and encoder.levels:
        counts = encoder.counts[2:]
        return encoder.levels[int(np.argmax(counts)) if counts else 0]
    return None


def encoder_forms(state: ModelState, trace: Trace) -> list[dict[str, Any]]:
    """Returns the work of each column's encoder, as `EncoderForm` of web/src/document.ts."""
    schema = state.schema
    assert schema is not None
    scaling = (state.notes.get("config") or {}).get("scaling", "auto")
    told = features(schema, scaling=scaling).treatments
    parts = {e.name: _parts(e, schema.blocks) for e in schema.used}
    seen = _seen(
        trace,
        [
            (
                x["input"],
                x["position"],
                e.width if isinstance(e, CategoryEncoder) and x["name"] == "code" else 0,
            )
            for e in schema.used
            for x in parts[e.name]
        ],
    )
    return [
        {
            "column": e.name,
            "kind": e.kind,
            "told": told.get(e.name, e.treatment),
            "levels": list(_levels(e)),
            "gaps": e.gaps,
            "reading": reading_form(e, schema),
            "parts": [
                x | {"seen": seen.get((x["input"], x["position"]), [])} for x in parts[e.name]
            ],
        }
        for e in schema.used
    ]


def _levels(encoder: Encoder) -> tuple[str, ...]:
    if isinstance(encoder, BooleanColumn):
        return encoder.false, encoder.true
    if not isinstance(encoder, CategoryColumn):
        return ()
    return ("(gap)", "(unseen or rare)", *encoder.levels)


def _parts(encoder: Encoder, blocks: tuple[Block, ...]) -> list[dict[str, Any]]:
    """The numbers that an encoder makes of a cell, and where they enter the graph."""
    parts: list[dict[str, Any]] = []
    for block in blocks:
        if encoder.name not in block.columns:
            continue
        if block.kind == "numbers":
            parts += [
                {"name": member.name, "input": block.name, "position": k}
                for k, member in enumerate(block.members) if member.column == encoder.name
            ]  # fmt: skip
        elif block.kind == "categories":
            place = block.columns.index(encoder.name)
            parts.append({"name": "code", "input": block.name, "position": place})
        else:
            code = block.kind == "category" and isinstance(encoder, CategoryEncoder)
            name = "code" if code else "features"
            parts.append({"name": name, "input": block.name, "position": None})
    return parts


def _seen(
    trace: Trace, parts: list[tuple[str, int | None, int]]
) -> dict[tuple[str, int | None], list[dict[str, Any]]]:
    """The entries of the nodes computed from the data alone that change with each part.

    Each part is changed in copies of the first row: a number becomes a gap and others, a code
    each of the next ones, so that whatever depends on it differs from the row itself.
    """
    graph = trace.graph
    ends = _frontier(graph)
    if not ends or len(parts) > MAX_PARTS:
        return {}
    inputs = [x for x in Graph(ends).inputs if x not in STEP_INPUTS]
    names = {graph.name(x): x for x in inputs}
    rows: dict[Node, list[Array]] = {x: [trace.value(x)[0]] for x in inputs}
    owner: list[tuple[str, int | None]] = []
    for name, position, codes in parts:
        if name not in names:
            continue
        for other in _others(trace.value(names[name])[0], position, codes):
            owner.append((name, position))
            for x in inputs:
                rows[x].append(other if x is names[name] else rows[x][0])
    given = {x: np.stack(column) for x, column in rows.items()}
    given |= {x: trace.value(x) for x in Graph(ends).inputs if x in STEP_INPUTS}
    env = evaluate(Graph(ends, like=graph), given, rows=len(owner) + 1, keep=ends)
    found: dict[tuple[str, int | None], list[dict[str, Any]]] = {}
    places = {x: k for k, x in enumerate(graph)}
    for end in ends:
        flat = env[end].reshape(len(owner) + 1, -1)
        differs = (flat[1:] != flat[:1]) & ~(np.isnan(flat[1:]) & np.isnan(flat[:1]))
        for part in dict.fromkeys(owner):
            mine = [k for k, x in enumerate(owner) if x == part]
            entries = np.flatnonzero(differs[mine].any(axis=0)).tolist()
            if entries:
                found.setdefault(part, []).append({"node": places[end], "entries": entries})
    return found


def _others(row: Array, position: int | None, codes: int) -> list[Array]:
    """Copies of an input's row with other values at a position, or everywhere."""
    at = ... if position is None else position
    others = []
    for step in range(1, min(codes, MAX_CODES)) if codes else (0.7, -0.9, 11.0, np.nan):
        other = np.array(row)
        old = other[at]
        if codes:
            other[at] = (old + step) % codes
        else:
            other[at] = np.where(np.isnan(old), step, old * (1 + 0.1 * step) + step)
        others.append(other)
    return others


def _frontier(graph: Graph) -> list[Node]:
    """The nodes computed from data and constants alone that one with parameters reads."""
    learned: dict[Node, bool] = {}
    fed: dict[Node, bool] = {}
    for x in graph:
        learned[x] = isinstance(x, Parameter) or any(learned[y] for y in x.inputs)
        fed[x] = (isinstance(x, Input) and x not in STEP_INPUTS) or any(fed[y] for y in x.inputs)
    return [
        x for x in graph
        if fed[x] and not learned[x] and x.shape[:1] == (N,)
        and any(learned[y] for y in graph.consumers(x))
        and not (isinstance(x, Operation) and x.op.name == "objective")
    ]  # fmt: skip
