"""Folds the rows of a large network into blocks: columns, encoders, layers, output, loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from chainrule.display.tables import facts_html

MOST = 40
"""A network with more rows is shown in blocks."""
MIXTURE = "mixture"
"""The row of a weighted mean of members that are of different kinds."""


@dataclass(frozen=True)
class Row:
    """A layer, a single node, or a block of them.

    Attributes:
        name, what: its name and kind.
        shape, dtype: of its value.
        parameters, trained: its number of parameters, and of those that are trained.
        reads: the names of the rows that it is computed from.
        result: the name of the node of its value; empty for several nodes side by side.
    """

    name: str
    what: str
    shape: str
    dtype: str
    parameters: int
    trained: int
    reads: tuple[str, ...]
    result: str = ""

    def _repr_html_(self) -> str:
        name, what, shape, count, reads = self.cells()
        return facts_html(name, ("what", what), ("type", self.dtype + shape),
                          ("parameters", count), ("reads", reads))  # fmt: skip

    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of the head."""
        count = f"{self.parameters:,}" if self.parameters else ""
        return self.name, self.what, self.shape, count, ", ".join(self.reads)


@dataclass(frozen=True)
class _Block:
    """Rows that are shown as one."""

    name: str
    what: str
    rows: tuple[Row, ...]
    copies: tuple[Row, ...] = ()


def folded(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows as blocks. What several members have in common is shown once, with their number."""
    return _as_rows(_blocks(rows))


def contents(rows: Sequence[Row]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Each block's name and kind, and the names of its rows, those of all members."""
    return [(b.name, b.what, tuple(x.name for x in b.copies or b.rows)) for b in _blocks(rows)]


def _blocks(rows: Sequence[Row]) -> list[_Block]:
    data = _data(rows)
    around = set(data)
    truths = [x for x in rows if x.what == "input" and x not in around]
    scored = _after(rows, truths)
    around.update(truths, scored)
    network = [x for x in rows if x not in around]
    blocks = [_Block("columns", _encoded(data), tuple(data))] if data else []
    mixed = next((x for x in network if x.what == MIXTURE), None)
    blocks += _network(rows, network) if mixed is None else _mixed(network, mixed)
    blocks += [_Block(x.name, x.what, (x,)) for x in truths]
    blocks += [_Block("loss", scored[-1].what, tuple(scored))] if scored else []
    return blocks


def _network(rows: Sequence[Row], network: Sequence[Row]) -> list[_Block]:
    """A network, or members of one kind and what is made of them."""
    members, copies = _members(rows, network)
    inside = set(members)
    rest = [x for x in network if x not in inside]
    layers = _layers([x for x in members if copies[x.name][0] is x], copies)
    return layers + _segments(rest, max((len(x) for x in copies.values()), default=1))


def _mixed(network: Sequence[Row], mixture: Row) -> list[_Block]:
    """A block for each kind of member, their weighted mean, and what is around them."""
    named = {x.name: x for x in network}
    own = [_before(named, name) for name in mixture.reads]
    times = Counter(name for names in own for name in names)
    kinds: dict[Hashable, list[list[Row]]] = {}
    for names in own:
        member = [named[name] for name in names if times[name] == 1]
        key = tuple((x.what, x.shape, x.parameters) for x in member)
        kinds.setdefault(key, []).append(member)
    blocks = [
        _Block(f"kind_{k}", _as_text(alike[0], len(alike)), tuple(alike[0]),
               tuple(x for member in alike for x in member))
        for k, alike in enumerate(kinds.values(), start=1)
    ]  # fmt: skip
    inside = {x for block in blocks for x in block.copies}
    place = network.index(mixture)
    shared = [x for x in network[:place] if x not in inside]
    mean = _Block(mixture.name, f"weighted mean of {len(own)}", (mixture,))
    after = [x for x in network[place + 1 :] if x not in inside]
    return [*_segments(shared, 1), *blocks, mean, *_segments(after, 1)]


def _before(named: Mapping[str, Row], name: str) -> list[str]:
    """The names of the rows that a row is computed from, and its own, in their order."""
    found, stack = {name}, [name]
    while stack:
        fresh = [y for y in named[stack.pop()].reads if y in named and y not in found]
        found.update(fresh)
        stack += fresh
    return [x for x in named if x in found]


def _as_text(member: Sequence[Row], times: int) -> str:
    """The layers of a member in words, its hidden widths in the place of its dense layers."""
    dense = [x for x in member if _dense(x)]
    widths = ", ".join(x.shape.rstrip(",)").rpartition(" ")[2] for x in dense[:-1])
    words = dict.fromkeys(
        y for x in member for y in x.what.split(", ") if y != "dense" or x is dense[-1]
    )
    first = next((x for x in dense[:-1]), None)
    if first is None:
        text = ", ".join(words)
    else:
        before = dict.fromkeys(y for x in member[: member.index(first)] for y in x.what.split(", "))
        after = [x for x in words if x not in before]
        text = ", ".join([*before, f"[{widths}]", *after])
    return f"{times} x {text}" if times > 1 else text


def _data(rows: Sequence[Row]) -> list[Row]:
    """The rows that depend on the data alone, and that something learned is computed from."""
    named = {x.name: x for x in rows}
    learned: dict[str, bool] = {}
    for x in rows:
        learned[x.name] = x.parameters > 0 or any(learned.get(y, False) for y in x.reads)
    used = {y for x in rows if x.parameters for y in x.reads}
    stack = list(used)
    while stack:
        name = stack.pop()
        fresh = [y for y in named[name].reads if y not in used] if name in named else []
        used.update(fresh)
        stack += fresh
    return [x for x in rows if x.name in used and not learned[x.name]]


def _after(rows: Sequence[Row], first: Iterable[Row]) -> list[Row]:
    reached = {x.name for x in first}
    found = []
    for x in rows:
        if not reached.isdisjoint(x.reads):
            reached.add(x.name)
            found.append(x)
    return found


def _members(rows: Sequence[Row], network: Sequence[Row]) -> tuple[list[Row], dict[str, list[Row]]]:
    """The rows up to the output of each member, and for each name all of its copies."""
    kind: dict[str, Hashable] = {}
    numbers: dict[Hashable, int] = {}
    inside = {x.name for x in network}
    for x in rows:
        key = x.name if x.name not in inside else (
            x.what, x.shape, x.parameters, tuple(kind.get(y, y) for y in x.reads)
        )  # fmt: skip
        kind[x.name] = numbers.setdefault(key, len(numbers))
    counts = Counter(kind[x.name] for x in network)
    times = max((counts[kind[x.name]] for x in network if x.parameters), default=1)
    if times > 1:
        members = [x for x in network if counts[kind[x.name]] == times]
    else:
        last = max((k for k, x in enumerate(network) if _dense(x)), default=-1)
        members = list(network[: last + 1])
    alike: dict[Hashable, list[Row]] = {}
    for x in members:
        alike.setdefault(kind[x.name], []).append(x)
    return members, {x.name: alike[kind[x.name]] for x in members}


def _dense(row: Row) -> bool:
    return row.what.split(",")[0] == "dense"


def convolution(row: Row) -> bool:
    """Whether a row is a convolution of some kind; see kinds.py."""
    return row.what.split(" ")[0] in ("conv", "depthwise_conv", "conv_transpose")


def _layers(rows: list[Row], copies: dict[str, list[Row]]) -> list[_Block]:
    """The encoders, hidden layers and output of a member."""
    places = [k for k, x in enumerate(rows) if _dense(x)]
    first, last = (places[0], places[-1]) if places else (len(rows), len(rows))
    lead = "features" if any(map(convolution, rows[:first])) else "encoders"
    parts = {lead: rows[:first], "hidden": rows[first:last], "output": rows[last:]}
    blocks = []
    for name, part in parts.items():
        if not part:
            continue
        times = len(copies[part[0].name])
        text = ", ".join(dict.fromkeys(y for x in part for y in x.what.split(", ")))
        if name == "hidden":
            widths = [x.shape.rstrip(",)").rpartition(" ")[2] for x in part if _dense(x)]
            text = text.replace("dense", f"[{', '.join(widths)}]", 1)
        if times > 1:
            text = f"{times} x {text}"
        every = tuple(y for x in part for y in copies[x.name])
        blocks.append(_Block(name, text, tuple(part), every))
    return blocks


def _segments(rows: list[Row], times: int) -> list[_Block]:
    """The rows after the members: their mean, then rows with parameters and what is between."""
    blocks: list[_Block] = []
    segment: list[Row] = []

    def close() -> None:
        if segment:
            averaged = times > 1 and not blocks
            kinds = ", ".join(dict.fromkeys(x.what for x in segment))
            name = "mean" if averaged else segment[-1].name
            blocks.append(_Block(name, f"mean of {times}" if averaged else kinds, tuple(segment)))
            segment.clear()

    for x in rows:
        if x.parameters:
            close()
            blocks.append(_Block(x.name, x.what, (x,)))
        else:
            segment.append(x)
    close()
    return blocks


def _encoded(data: list[Row]) -> str:
    inputs = sum(x.what == "input" for x in data)
    steps = len(data) - inputs
    return f"{inputs} input{'s' * (inputs != 1)}" + (f", {steps} steps" if steps else "")


def _as_rows(blocks: list[_Block]) -> tuple[Row, ...]:
    home = {x.name: b.name for b in blocks for x in (*b.rows, *b.copies)}
    made = []
    for b in blocks:
        every = b.copies or b.rows
        reads = dict.fromkeys(home[y] for x in every for y in x.reads if y in home)
        reads.pop(b.name, None)
        last, parameters = b.rows[-1], sum(x.parameters for x in every)
        trained = sum(x.trained for x in every)
        result = last.result if len(b.copies) <= len(b.rows) else ""
        made.append(Row(b.name, b.what, last.shape, last.dtype, parameters, trained, tuple(reads),
                        result))  # fmt: skip
    return tuple(made)
