"""Nodes as formulas, with the names of their operands or with their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

import numpy as np

from chainrule.graph.listing import show_attribute
from chainrule.graph.node import Array, Node, Operation

SHOWN = 40
"""The number of entries up to which an array is written in full, unless another is asked for."""


def transparent(node: Node) -> bool:
    """Whether formulas show the node's operand, or its number, in place of the node."""
    return isinstance(node, Operation) and node.op.formula in ("{0}", "{value}")


def expression(node: Node, leaf: Callable[[Node], str | None], *, casts: bool = True) -> str:
    """Returns the formula of `node`, expanded down to the nodes that `leaf` has a text for.

    Args:
        node: the node to write; it is expanded even if it is a leaf elsewhere.
        leaf: the text for a node, or None to expand the node's own formula.
        casts: whether a cast between floating-point types is written.
    """
    done: dict[Node, tuple[str, int]] = {}
    stack = [node]
    while stack:
        top = stack[-1]
        text = leaf(top) if top is not node else None
        if text is not None or not isinstance(top, Operation):
            text = top.label if text is None else text
            done[top] = (text, _LEADING.get(text[:1], ATOM))
        elif todo := [x for x in top.operands if x not in done]:
            stack.extend(todo)
            continue
        else:
            only = not casts and top.op.name == "cast" and top.operands[0].type.floating
            done[top] = (
                done[top.operands[0]] if only else _filled(top, [done[x] for x in top.operands])
            )
        stack.pop()
    return done[node][0]


def _filled(node: Operation, operands: list[tuple[str, int]]) -> tuple[str, int]:
    """The op's template with its operands, in parentheses if their precedence is lower."""
    template = node.op.formula
    if template == "{0}":
        return operands[0]
    template = template.replace("{0}, ...", _listed(len(operands)))
    level, uses = _read(template)
    texts = [
        f"({text})" if any(_needs_brackets(inner, *use) for use in uses.get(k, ())) else text
        for k, (text, inner) in enumerate(operands)
    ]
    text = template.format(*texts, **{k: _attribute(v) for k, v in node.attributes.items()})
    return text, min(level, SIGN) if text.startswith("-") else level


def _listed(count: int) -> str:
    """The places of any number of operands; of many, the first ones and the last."""
    places = [f"{{{k}}}" for k in range(count)]
    return ", ".join(places if count <= 6 else [*places[:4], "...", places[-1]])


def added(terms: list[str]) -> str:
    """The sum of formulas, with brackets around choices, logic and comparisons."""
    low = [mark for mark, level in _PRECEDENCE if level < SUM]
    if len(terms) == 1:
        return terms[0]
    return " + ".join(f"({x})" if any(re.search(y, x) for y in low) else x for x in terms)


CHOICE, LOGIC, COMPARISON, SUM, PRODUCT, MATRIX, SIGN, GRADIENT, POWER, ATOM = range(10)
"""Precedence of formulas: as in Python, except that brackets separate `@` from `*`."""

_LEADING = {"-": SIGN, "∂": GRADIENT}  # of negative numbers and ∂E/∂w, by their first character

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


def number(array: Array, digits: int = 6, entries: int = SHOWN) -> str:
    """An array as text: a number, nested lists, or its first entries and its shape.

    Args:
        array: the numbers; a single row is written as one list.
        digits: significant ones.
        entries: the number of them up to which all are written.
    """
    array = np.asarray(array)
    if array.size == 1:
        return _scalar(array.item(), digits)
    if array.size > entries:
        first = ", ".join(_scalar(v, digits) for v in array.ravel()[:3].tolist())
        return f"[{first}, ... {'x'.join(map(str, array.shape))}]"
    return _list(array[0] if array.ndim == 2 and len(array) == 1 else array, digits)


def _list(array: Array, digits: int) -> str:
    if array.ndim == 0:
        return _scalar(array.item(), digits)
    return "[" + ", ".join(_list(x, digits) for x in array) + "]"


def _scalar(value: object, digits: int) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value + 0.0 if value == 0 else value:.{digits}g}"  # -0.0 is written 0


def by_name(
    names: Mapping[Node, str], own: Mapping[Node, str] = MappingProxyType({})
) -> Callable[[Node], str | None]:
    """Leaves as their names; transparent nodes are expanded, unless they have names of their own.

    Args:
        names: of nodes.
        own: names that come before those.
    """
    return lambda node: own.get(node, None if transparent(node) else names.get(node))


def by_number(
    names: Mapping[Node, str],
    values: Mapping[Node, Array],
    own: Mapping[Node, str] = MappingProxyType({}),
    entries: int = SHOWN,
    digits: int = 6,
) -> Callable[[Node], str | None]:
    """Leaves as their numbers; see `by_name`, and `number` for `entries` and `digits`."""

    def leaf(node: Node) -> str | None:
        known = (node in names or not node.inputs) and not transparent(node)
        return number(values[node], digits, entries) if known or node in own else None

    return leaf
