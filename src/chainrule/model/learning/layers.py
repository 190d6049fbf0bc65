"""The layers whose units are watched while they learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node, Operation, Parameter
from chainrule.nn.kinds import channels_first
from chainrule.nn.summary import layers
from chainrule.types import N

BOUNDS = {
    "sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0), "softsign": (-1.0, 1.0),
}  # fmt: skip
"""The bounds of activations that saturate."""

GATES = {"lstm": "ifgo", "gru": "rzn"}
"""The gates whose columns lie side by side in the matrices of a recurrent layer."""

UNITS, ROWS, WEIGHTS = 16, 3, 5
"""Units of a layer that are described, and for each the rows and weights."""


@dataclass(frozen=True)
class Layer:
    """A layer with weights.

    Attributes:
        name, what: as in the summary.
        output: the node of its units.
        weights: the names of its arrays of two axes or more: the matrix (inputs, units) of a dense
            layer, the filters of a convolution, the matrices of a recurrent or attention layer.
        bounds: of its activation, where it saturates.
        inputs: the names of its inputs, or none where they are units themselves.
        axis: of the units in the output; all between it and the rows are positions.
    """

    name: str
    what: str
    output: Node
    weights: tuple[str, ...]
    bounds: tuple[float, float] | None
    inputs: tuple[str, ...] = ()
    axis: int = -1

    @property
    def kind(self) -> str:
        """The first word of what it is, such as "conv"."""
        return self.what.replace(",", "").split(" ")[0]

    def by_unit(self, output: Array) -> Array:
        """An output as (rows, positions, units); a dense layer of vectors has one position."""
        moved = np.moveaxis(output, self.axis, -1)
        return moved.reshape(len(moved), -1, moved.shape[-1])

    def excited(
        self, output: Array, labels: Sequence[str], values: Mapping[str, Array]
    ) -> list[dict[str, Any]]:
        """For the first units, the rows that excite each most and its largest weights.

        Args:
            output: (rows, positions, units).
            labels: of the rows.
            values: of the parameters, by name.
        """
        peaks, count = output.max(axis=1), output.shape[-1]
        found = []
        for unit in range(min(count, UNITS)):
            rows = np.argsort(-peaks[:, unit], kind="stable")[:ROWS]
            found.append({
                "unit": unit,
                "rows": [
                    {
                        "label": labels[k] + self._at(int(output[k, :, unit].argmax())),
                        "value": float(peaks[k, unit]),
                    } for k in rows
                ],
                "weights": self._largest(unit, count, values),
            })  # fmt: skip
        return found

    def _at(self, position: int) -> str:
        """A position of the output in words; empty where there is one."""
        shape = list(self.output.shape[1:])
        del shape[self.axis if self.axis < 0 else self.axis - 1]
        sizes = tuple(n for n in shape if isinstance(n, int))
        if not sizes:
            return ""
        return f" at {', '.join(str(k) for k in np.unravel_index(position, sizes))}"

    def _largest(
        self, unit: int, units: int, values: Mapping[str, Array]
    ) -> list[dict[str, Any]]:  # fmt: skip
        """The largest weights of a unit: those along the last axis of its arrays."""
        own: list[tuple[str, float]] = []
        for name in self.weights:
            array = values[name]
            blocks, left = divmod(array.shape[-1], units)
            if left or (self.kind == "multi_head_attention" and not name.endswith(".out.w")):
                continue
            parts = array.reshape(*array.shape[:-1], blocks, units)[..., unit]
            order = np.argsort(-np.abs(parts), axis=None, kind="stable")[:WEIGHTS]
            own += [
                (self._entry(name, [int(k) for k in np.unravel_index(at, parts.shape)], blocks),
                 float(parts.flat[at]))
                for at in order
            ]  # fmt: skip
        own.sort(key=lambda x: -abs(x[1]))
        return [{"name": name, "weight": weight} for name, weight in own[:WEIGHTS]]

    def _entry(self, array: str, index: Sequence[int], blocks: int) -> str:
        """The name of a unit's weight: its input, or its place: "w[2, 0, 1]", "u[4, f]"."""
        if self.kind in ("dense", "multi_head_attention"):
            place = index[0]
            return self.inputs[place] if place < len(self.inputs) else f"unit {place + 1}"
        gates = GATES.get(self.kind, "")
        *places, block = map(str, index)
        last = [gates[int(block)] if blocks == len(gates) else block] if blocks > 1 else []
        return f"{array.removeprefix(f'{self.name}.')}[{', '.join([*places, *last])}]"


def layers_of(graph: Graph, names: Sequence[str] = ()) -> list[Layer]:
    """The layers with weights in order, the output layer last.

    Args:
        graph: the network.
        names: of the inputs of the first layer.
    """
    found: list[Layer] = []
    for row, nodes in layers(graph):
        output = graph[row.name]
        weights = [x for x in nodes if isinstance(x, Parameter) and len(x.shape) > 1]
        if not weights or not isinstance(output, Operation) or output.ndim < 2:
            continue
        if output.shape[0] is not N:
            continue
        kind, _, activation = row.what.partition(", ")
        first = kind == "dense" and not found and weights[0].shape[:1] == (len(names),)
        image = channels_first(nodes) and not kind.startswith("dense")
        found.append(
            Layer(row.name, row.what, output, tuple(map(graph.name, weights)),
                  BOUNDS.get(activation), tuple(names if first else ()), 1 if image else -1)
        )  # fmt: skip
    return found
