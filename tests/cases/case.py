"""One row of the table of op cases: what to call, on what, and what must come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Bad:
    """A misuse that must raise `error`, saying `match`."""

    call: Callable[[], Any]
    error: type[Exception]
    match: str


@dataclass(frozen=True)
class Case:
    """A user-level function on operands of some shapes.

    Attributes:
        name: unique; shown in test ids.
        function: the user-level function, called with the operand nodes and `attributes`.
        reference: an independent NumPy expression, called with float64 (or integer) arrays.
        shapes: for each variant, the shapes of all operands.
        attributes: keyword arguments of `function`; `reference` gets them too.
        domain: for each operand, or for all, the range its values are drawn from.
        kinds: for each operand "float", "int" or "bool"; floats are tried in both precisions.
        ops: names of registry ops that the row exercises.
        order: how many times it can be differentiated away from kinks (0, 1 or 2).
        wrt: the positions of differentiable operands; None: all floats.
        tolerance: relative and absolute, for float32 and float64.
        kinks: (operand values, expected value, expected gradient of the sum) by convention.
        bad: misuses.
    """

    name: str
    function: Callable[..., Any]
    reference: Callable[..., Any]
    shapes: tuple[tuple[Shape, ...], ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    domain: tuple[float, float] | tuple[tuple[float, float], ...] = (-2.0, 2.0)
    kinds: tuple[str, ...] | None = None
    ops: tuple[str, ...] = ()
    order: int = 2
    wrt: tuple[int, ...] | None = None
    tolerance: Mapping[str, float] = field(
        default_factory=lambda: {"float32": 2e-5, "float64": 1e-12}
    )
    kinks: tuple[tuple[tuple[Any, ...], Any, tuple[Any, ...]], ...] = ()
    bad: tuple[Bad, ...] = ()


TAILS: tuple[Shape, ...] = ((), (1,), (7,), (8,), (9,), (17,), (33,), (2, 3), (0, 3), (4, 1, 5))
"""Shapes with the odd tails of a vector, an empty one and a scalar."""
