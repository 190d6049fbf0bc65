"""Nodes as formulas, with the names of their operands or with their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from chainrule.graph.listing import show_attribute
from chainrule.graph.node import Array, Node, Operation

SHOWN = 6
"""The largest number of entries for which an array is written in full."""


def transparent(node: Node) -> bool:
    """Whether formulas show the node's operand, or its number, in place of the node."""
    return isinstance(node, Operation) and node.op.formula in ("{0}", "{value}")


def expression(node: Node, leaf: Callable[[Node], str | None]) -> str:
    """Returns the formula of `node`, expanded down to the nodes that `leaf` has a text for.

    Args:
        node: the node to write; it is expanded even if it is a leaf elsewhere.
        leaf: the text for a node, or None to expand the node's own formula.
    """
    done: dict[Node, tuple[str, int]] = {}
    stack = [node]
    while stack:
        top = stack[-1]
        text = leaf(top) if top is not node else None
        if text is not None or not isinstance(top, Operation):
            text = top.label if text is None else text
            done[top] = (text, SIGN if text.startswith("-") else ATOM)
        elif todo := [x for x in top.operands if x not in done]:
            stack.extend(todo)
            continue
        else:
            done[top] = _filled(top, [done[x] for x in top.operands])
        stack.pop()
    return done[node][0]


def _filled(node: Operation, operands: list[tuple[str, int]]) -> tuple[str, int]:
    """The op's template with its operands, in parentheses if their precedence is lower."""
    template = node.op.formula
    if template == "{0}":
        return operands[0]
    level, uses = _read(template)
    texts = [
        f"({text})" if any(_needs_brackets(inner, *use) for use in uses.get(k, ())) else text
        for k, (text, inner) in enumerate(operands)
    ]
    text = template.format(*texts, **{k: _attribute(v) for k, v in node.attributes.items()})
    return text, min(level, SIGN) if text.startswith("-") else level


CHOICE, LOGIC, COMPARISON, SUM, PRODUCT, MATRIX, SIGN, POWER, ATOM = range(9)
"""Precedence of formulas: as in Python, except that brackets separate `@` from `*`."""

_PRECEDENCE = (
    (r" if | in training|^else ", CHOICE), (r" (and|or|xor) |^not ", LOGIC),
    (r" [<>=!]=? ", COMPARISON), (r" [+-] ", SUM), (r" [*/] ", PRODUCT), (r" @ ", MATRIX),
    (r"^-", SIGN), (r"\^", POWER),
)  # fmt: skip


def _needs_brackets(inner: int, level: int, associative: bool) -> bool:
    """Whether an operand of precedence `inner` needs brackets in a formula of `level`."""
    mixed = inner == MATRIX and level == PRODUCT
    return inner < level or mixed or (inner == level and not associative)


@cache
def _read(template: str) -> tuple[int, dict[int, list[tuple[int, bool]]]]:
    """The precedence of a template, and the contexts of its operands.

    For each use of an operand: the precedence of what is around it within the same brackets, and
    whether an operand of equal precedence needs no brackets. An operand that is alone in its
    brackets has no entry.
    """
    uses: dict[int, list[tuple[int, bool]]] = {}
    nested = [""]

    def close(text: str) -> int:
        level = next((n for mark, n in _PRECEDENCE if re.search(mark, text)), ATOM)
        for k in re.findall("\0(\\d)\1", text):
            first = level in (SUM, PRODUCT, MATRIX) and text.startswith(f"\0{k}")
            if text != f"\0{k}\1":
                uses.setdefault(int(k), []).append((level, first or " + " in text or " * " in text))
        return level

    template = re.sub(r"\|([^|]*)\|", r"(\1)", template)
    for character in template.replace("{", "\0").replace("}", "\1"):
        if character in "([":
            nested.append("")
        elif character in ")],":
            close(nested.pop().strip())
            nested += [""] if character == "," else []
        else:
            nested[-1] += character
    return close(nested.pop()), uses


def _attribute(value: object) -> str:
    return number(value) if isinstance(value, np.ndarray) else show_attribute(value)


def number(array: Array, digits: int = 6) -> str:
    """An array as short text: a number, a short list, or its first entries and shape."""
    array = np.asarray(array)
    if array.size == 1:
        return _scalar(array.item(), digits)
    if array.size > SHOWN:
        first = ", ".join(_scalar(v, digits) for v in array.ravel()[:3].tolist())
        return f"[{first}, ... {'x'.join(map(str, array.shape))}]"
    if array.ndim == 2 and min(array.shape) > 1:
        return "[" + ", ".join(number(row, digits) for row in array) + "]"
    return "[" + ", ".join(_scalar(v, digits) for v in array.ravel().tolist()) + "]"


def _scalar(value: object, digits: int) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def by_name(names: Mapping[Node, str]) -> Callable[[Node], str | None]:
    """Leaves as their names; transparent nodes are expanded."""
    return lambda node: None if transparent(node) else names.get(node)


def by_number(names: Mapping[Node, str], values: Mapping[Node, Array]) -> Callable[..., str | None]:
    """Leaves as their numbers; transparent nodes are expanded."""

    def leaf(node: Node) -> str | None:
        known = node in names or not node.inputs
        return number(values[node]) if known and not transparent(node) else None

    return leaf
