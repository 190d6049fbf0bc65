"""Nodes as formulas: with names for a reader, with numbers for one who checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from chainrule.graph.node import Array, Node, Operation
from chainrule.graph.show import show_attribute

ATOM = 9
_LEVELS = ((r"{\d} [+-] {\d}", 1), (r"{\d} [*/@] {\d}", 2), (r"-{\d}", 3), (r"{\d} \*\* {\d}", 4))


def transparent(node: Node) -> bool:
    """Whether a formula reads better with the node's operand, or number, in its place."""
    return isinstance(node, Operation) and node.op.formula in ("{0}", "{value}")


def expression(node: Node, leaf: Callable[[Node], str | None]) -> str:
    """The formula of `node`, down to what `leaf` has a text for.

    Args:
        node: what to write down; its own formula is shown even if it is a leaf elsewhere.
        leaf: the text that stands for a node, or None to write out the node's own formula.
    """
    done: dict[Node, tuple[str, int]] = {}
    stack = [node]
    while stack:
        top = stack[-1]
        text = leaf(top) if top is not node else None
        if text is not None or not isinstance(top, Operation):
            done[top] = (text or top.label, ATOM if not (text or "").startswith("-") else 3)
        elif todo := [x for x in top.operands if x not in done]:
            stack.extend(todo)
            continue
        else:
            done[top] = _filled(top, [done[x] for x in top.operands])
        stack.pop()
    return done[node][0]


def _filled(node: Operation, operands: list[tuple[str, int]]) -> tuple[str, int]:
    """The op's template with its operands, in parentheses where they bind less tightly."""
    template = node.op.formula
    if template == "{0}":
        return operands[0]
    level = next((n for pattern, n in _LEVELS if re.fullmatch(pattern, template)), ATOM)
    texts = []
    for k, (text, inner) in enumerate(operands):
        loose = inner < level if k == 0 else inner <= level
        if level == 1 and k == 1 and " + " in template:
            loose = inner < level
        texts.append(f"({text})" if level != ATOM and loose else text)
    attributes = {k: show_attribute(v) for k, v in node.attributes.items()}
    text = template.format(*texts, **attributes)
    return text, 3 if text.startswith("-") and level == ATOM else level


def number(array: Array, digits: int = 6) -> str:
    """An array as short text: a number, a short list, or the first entries and the shape."""
    flat = np.asarray(array).ravel()
    shown = [_scalar(v, digits) for v in flat[:4]]
    if flat.size == 1:
        return shown[0]
    if flat.size <= 4:
        return "[" + ", ".join(shown) + "]"
    shape = "x".join(map(str, np.shape(array)))
    return "[" + ", ".join(shown[:3]) + f", ... {shape}]"


def _scalar(value: object, digits: int) -> str:
    return f"{value:.{digits}g}" if isinstance(value, (float, np.floating)) else str(value)


def by_name(names: Mapping[Node, str]) -> Callable[[Node], str | None]:
    """Leaves shown by their names; anything transparent is written out."""
    return lambda node: None if transparent(node) else names.get(node)


def by_number(names: Mapping[Node, str], values: Mapping[Node, Array]) -> Callable[..., str | None]:
    """Leaves shown by their numbers; anything transparent is written out."""
    return lambda node: number(values[node]) if node in names and not transparent(node) else None
