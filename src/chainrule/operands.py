"""The operands of calls that build a graph, as the errors of such calls keep them."""

from __future__ import annotations

from typing import NamedTuple


class Operand:
    """The base of nodes, by which errors know them: they stand below the graph."""

    __slots__ = ()


class Failed(NamedTuple):
    """A call that failed while a graph was built.

    Attributes:
        function: its name; empty where a node itself is wrong, which was made before.
        operands: the nodes that it was given, in order; or the node that is wrong.
    """

    function: str
    operands: tuple[Operand, ...]
