"""Recordings of a run: values, gradients and parameters of some epochs, as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from chainrule.display.tables import facts_html
from chainrule.errors import SettingError, did_you_mean
from chainrule.graph.node import Array
from chainrule.system.settings import require_integer

Floats = npt.NDArray[np.float64]

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""The shares of `quantiles`: the least, ..., the median, ..., the greatest."""

FLAT = 0.01
"""A unit is flat for a row where its slope is below this part of its activation's greatest."""


@dataclass(frozen=True)
class Record:
    """The choice of what `fit(..., record=...)` keeps: aggregates, and values of a few rows.

    Args:
        nodes: the names of nodes; None: the results of dense layers, and the outputs.
        rows: how many rows, evenly spread over the training rows; or their positions in the data,
            of a table among the rows that have a target.
        every: record epoch 0, before training, and every epoch that this number divides.
        gradients: whether the gradients of the loss are kept too.
        parameters: whether all values of the parameters are kept; None: where they take no more
            than a quarter of `megabytes`. Their statistics always are.
        megabytes: the most that all arrays may take.

    Raises:
        SettingError: a setting is not allowed.
    """

    nodes: Iterable[str] | str | None = None
    rows: int | Sequence[int] = 64
    every: int = 1
    gradients: bool = True
    parameters: bool | None = None
    megabytes: float = 256.0

    def __post_init__(self) -> None:
        require_integer("Record.every", self.every, 1)
        rows: Any = self.rows
        if isinstance(rows, (int, np.integer)):
            require_integer("Record.rows", rows, 1)
        else:
            rows = tuple(require_integer("Record.rows", x, 0) for x in rows)
            if not rows:
                raise SettingError("Record.rows", "there are no rows", fix="rows=64")
        object.__setattr__(self, "rows", rows)
        nodes = (self.nodes,) if isinstance(self.nodes, str) else self.nodes
        object.__setattr__(self, "nodes", None if nodes is None else tuple(nodes))
        if not 0 < self.megabytes < float("inf"):
            raise SettingError("Record.megabytes", "a size is above 0", got=repr(self.megabytes))


def as_record(given: Any) -> Record | None:
    """A Record, also from True, and from names of nodes. Raises SettingError."""
    if given is None or given is False:
        return None
    if isinstance(given, Record):
        return given
    if given is True:
        return Record()
    names = [given] if isinstance(given, str) else given
    if isinstance(names, Iterable):
        names = list(names)
        if all(isinstance(x, str) for x in names):
            return Record(nodes=names)
    raise SettingError(
        "record", "this says not what to record", got=repr(given),
        expected='True, names of nodes such as ["hidden"], or a Record',
    )  # fmt: skip


@dataclass
class Kept:
    """The quantities of one node or parameter that were recorded, an epoch each.

    Attributes:
        name: of the node or parameter.
        values: of a node (epochs, rows, ...); of a parameter (epochs, ...), or None.
        gradients: of the loss, at a node (epochs, rows, ...); else None.
        value_quantiles, gradient_quantiles: (epochs, 7), of all entries: see QUANTILES; of
            gradients None where they are not kept.
        change: of a parameter: the length of its change since the epoch recorded before, divided
            by its length then (epochs,); NaN for the first, and 0 / 0 is 0.
        flat: of a layer with an activation: the share of the rows for which a unit passes on less
            than 1 % of the activation's greatest slope (epochs, units).
        off: whether a unit and its slope are 0 for all rows, as with relu: it is dead, and not
            saturated (epochs, units).
    """

    name: str
    values: Array | None = None
    gradients: Array | None = None
    value_quantiles: Floats = field(default_factory=lambda: np.empty((0, len(QUANTILES))))
    gradient_quantiles: Floats | None = None
    change: Floats | None = None
    flat: Floats | None = None
    off: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Stuck:
    """A unit that passes no gradient on, for none of the recorded rows, to the end.

    Attributes:
        layer, unit: the layer's name, and the index of the unit.
        kind: "dead" where it is 0 and so is the slope of its activation, else "saturated".
        epoch: the first recorded one of which this is true; 0 is before training.
        after_step, by_step: it came about after the first and by the second of these steps.
    """

    layer: str
    unit: int
    kind: str
    epoch: int
    after_step: int
    by_step: int


class Recording:
    """The numbers that were kept of a run, in `model.record`; see Record.

    `recording["hidden"]` has of a node `values` and `gradients` (epochs, rows, ...), their
    `value_quantiles` and `gradient_quantiles` (epochs, 7): 0, 5, 25, 50, 75, 95 and 100 %; and of a
    layer with an activation `flat` (epochs, units), the share of the rows for which a unit passes
    on less than 1 % of what it could. `recording["hidden.w"]` has of a parameter `values`
    (epochs, ...), quantiles of values and gradients, and `change` (epochs,): the length of its
    change since the epoch before, divided by its length then.

    All is of the form for prediction, without dropout, and of the recorded rows.

    Attributes:
        epochs, steps: the recorded epochs, and the number of updates at their end: (epochs,). The
            first is the one before the run, 0 before any training.
        rows: the positions of the rows in the data: (rows,).
        inputs: for each input by name its array at these rows.
        loss: of these rows, (epochs,).
        nodes, parameters: what was kept of them, by name.
    """

    def __init__(
        self, rows: npt.NDArray[np.int64], inputs: Mapping[str, Array], nodes: Iterable[str],
        parameters: Iterable[str],
    ) -> None:  # fmt: skip
        self.rows, self.inputs = rows, dict(inputs)
        self.epochs, self.steps = np.empty(0, np.int64), np.empty(0, np.int64)
        self.loss = np.empty(0)
        self.learner: object = None  # measures what a page shows, and goes on with the recording
        self.nodes = {name: Kept(name) for name in nodes}
        self.parameters = {name: Kept(name) for name in parameters}

    def __len__(self) -> int:
        return len(self.epochs)

    def __repr__(self) -> str:
        span = f"epochs {self.epochs[0]} to {self.epochs[-1]}, " if len(self) else ""
        return (
            f"<Recording of {len(self)} epoch{'s' * (len(self) != 1)}: {span}"
            f"{len(self.rows)} row{'s' * (len(self.rows) != 1)}, "
            f"{', '.join(self.nodes)}>"
        )

    def _repr_html_(self) -> str:
        names = ", ".join(self.nodes)
        return facts_html(repr(self)[1:-1], ("nodes", names), ("parameters", len(self.parameters)))

    def __getitem__(self, name: str) -> Kept:
        known = {**self.parameters, **self.nodes}
        if name not in known:
            raise SettingError(
                "record", f"nothing was recorded of {name!r}",
                fix=did_you_mean(name, known) or f"fit(..., record=[{name!r}])",
            )  # fmt: skip
        return known[name]

    def values_at(self, epoch: int) -> dict[str, Array]:
        """Returns the parameters at the end of a recorded epoch, 0 for before training, by name.

        With `model.set_value` for each of them the model is that of the epoch again.

        Raises:
            SettingError: the epoch was not recorded, or the parameters were not kept.
        """
        place = np.flatnonzero(self.epochs == epoch)
        if not len(place):
            raise SettingError(
                "record", f"epoch {epoch} was not recorded",
                expected=", ".join(map(str, self.epochs.tolist())) or "an epoch first",
            )  # fmt: skip
        found = {name: x.values for name, x in self.parameters.items()}
        if any(x is None for x in found.values()):
            raise SettingError(
                "record", "values of parameters were not kept: they are large",
                fix="record=cr.Record(parameters=True)",
            )  # fmt: skip
        return {name: np.array(x[place[0]]) for name, x in found.items() if x is not None}

    @property
    def stuck(self) -> list[Stuck]:
        """The units that are dead or saturated at the last recorded epoch, and since when."""
        return [x for kept in self.nodes.values() for x in self._stuck(kept)]

    def _stuck(self, kept: Kept) -> Iterable[Stuck]:
        if kept.flat is None or kept.off is None or not len(kept.flat):
            return
        whole = kept.flat == 1
        for unit in np.flatnonzero(whole[-1]):
            free = np.flatnonzero(~whole[:, unit])
            first = int(free[-1]) + 1 if len(free) else 0
            yield Stuck(
                kept.name, int(unit), "dead" if kept.off[-1, unit] else "saturated",
                int(self.epochs[first]), int(self.steps[max(first - 1, 0)]),
                int(self.steps[first]),
            )  # fmt: skip

    def kept(self) -> dict[str, Any]:
        """The recorded epochs as plain values and arrays, from which `go_on` takes them."""
        parts = {"nodes": self.nodes, "parameters": self.parameters}
        kept = {part: {n: dict(vars(x)) for n, x in of.items()} for part, of in parts.items()}
        return {"epochs": self.epochs, "steps": self.steps, "loss": self.loss, **kept}

    def go_on(self, kept: Mapping[str, Any]) -> None:
        """Take the epochs of a recording of the same nodes and rows, of which arrays are copied."""
        for name in ("epochs", "steps", "loss"):
            setattr(self, name, np.array(kept[name]))
        for name, parts in (("nodes", self.nodes), ("parameters", self.parameters)):
            for part, found in kept[name].items():
                arrays = {k: np.array(x) for k, x in found.items() if k != "name" and x is not None}
                parts[part] = Kept(part, **arrays)

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values: arrays as nested lists, NaN and infinities as None."""
        return {
            "epochs": self.epochs.tolist(),
            "steps": self.steps.tolist(),
            "rows": self.rows.tolist(),
            "loss": _listed(self.loss),
            "quantiles": list(QUANTILES),
            "inputs": {name: _listed(x) for name, x in self.inputs.items()},
            "nodes": {name: _plain(x) for name, x in self.nodes.items()},
            "parameters": {name: _plain(x) for name, x in self.parameters.items()},
            "stuck": [vars(x) for x in self.stuck],
        }


def _plain(kept: Kept) -> dict[str, Any]:
    return {name: _listed(x) for name, x in vars(kept).items() if name != "name" and x is not None}


def _listed(array: Array) -> Any:
    if array.dtype == np.float32:  # in as few digits as tell it from its neighbours
        array = array.astype(str).astype(np.float64)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        plain = array.astype(object)
        plain[~np.isfinite(array)] = None
        return plain.tolist()
    return array.tolist()


def quantiles_of(array: Array) -> Floats:
    """The quantiles of all entries, (1, 7); NaN where one is NaN, or there are none."""
    flat = np.asarray(array, np.float64).ravel()
    if not flat.size:
        return np.full((1, len(QUANTILES)), np.nan)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.quantile(flat, QUANTILES))[None]


def grown(old: Array | None, new: Array) -> Array:
    """The recorded epochs with one more, new (1, ...), in memory that doubles when it is full."""
    if old is None or not len(old):
        return new
    count, base = len(old), old.base
    fits = base is not None and base.ndim == old.ndim and base.shape[1:] == old.shape[1:]
    if base is None or not fits or len(base) <= count:
        base = np.empty((2 * count, *old.shape[1:]), old.dtype)
        base[:count] = old
    base[count] = new[0]
    return base[: count + 1]
