"""One row of the table of op cases: what to call, on what, and what must come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, ...]
Operands = tuple[Shape, ...]


@dataclass(frozen=True)
class Bad:
    """A misuse that must raise `error`, saying `match` (a regular expression)."""

    call: Callable[[], Any]
    error: type[Exception]
    match: str


@dataclass(frozen=True)
class Case:
    """A user-level function on operands of some shapes.

    Attributes:
        name: unique; shown in test ids.
        function: the user-level function, called with the operand nodes and `attributes`.
        reference: an independent NumPy expression, called with float64 (or integer, or bool)
            arrays and `attributes`.
        shapes: for each variant, the shapes of all operands.
        attributes: keyword arguments of `function` and of `reference`.
        domain: for each operand, or for all, the range its values are drawn from; integers from
            `low` to `high` inclusive.
        kinds: for each operand "float", "int" or "bool"; None: all floats. Floats are tried in
            both precisions.
        ops: names of registry ops that the row exercises.
        order: how many times it can be differentiated away from kinks (0, 1 or 2).
        wrt: the positions of differentiable operands; None: all floats.
        batch: the positions of operands whose first axis may be the batch axis; None: those
            with the most axes and the longest first one; empty: none may.
        tolerance: relative and absolute, for float32 and float64.
        kinks: (operand values, expected value, expected gradient of the sum) by convention; a
            gradient of None is not looked at.
        bad: misuses.
    """

    name: str
    function: Callable[..., Any]
    reference: Callable[..., Any]
    shapes: tuple[Operands, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: tuple[float, float] | tuple[tuple[float, float], ...] = (-2.0, 2.0)
    kinds: tuple[str, ...] | None = None
    ops: tuple[str, ...] = ()
    order: int = 2
    wrt: tuple[int, ...] | None = None
    batch: tuple[int, ...] | None = None
    tolerance: Mapping[str, float] = field(
        default_factory=lambda: {"float32": 2e-5, "float64": 1e-12}
    )
    kinks: tuple[tuple[tuple[Any, ...], Any, tuple[Any, ...]], ...] = ()
    bad: tuple[Bad, ...] = ()


TAILS: tuple[Shape, ...] = ((), (1,), (7,), (8,), (9,), (17,), (33,), (2, 3), (0, 3), (4, 1, 5))
"""Shapes with the odd tails of a vector, an empty one and a scalar."""

UNARY: tuple[Operands, ...] = tuple((shape,) for shape in TAILS)
"""The variants of a function of one operand."""

BINARY: tuple[Operands, ...] = (
    *((shape, shape) for shape in TAILS),
    ((2, 3), (3,)),
    ((), (7,)),
    ((5, 1), ()),
    ((4, 1, 5), (2, 1)),
    ((1, 3), (0, 3)),
)
"""The variants of a function of two operands: equal shapes, then those that broadcast."""
