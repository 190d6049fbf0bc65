"""The layers whose units are watched while they learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.graph.graph import Graph
from chainrule.graph.node import Array, Node, Parameter
from chainrule.nn.summary import layers

BOUNDS = {
    "sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0), "softsign": (-1.0, 1.0),
}  # fmt: skip
"""The bounds of activations that saturate."""

UNITS, ROWS, WEIGHTS = 16, 3, 5
"""Units of a layer that are described, and for each the rows and weights."""


@dataclass(frozen=True)
class Layer:
    """A dense layer.

    Attributes:
        name, what: as in the summary.
        output: the node of its units.
        weights: the name of its matrix (inputs, units).
        bounds: of its activation, where it saturates.
        inputs: the names of its inputs, or none where they are units themselves.
    """

    name: str
    what: str
    output: Node
    weights: str | None
    bounds: tuple[float, float] | None
    inputs: tuple[str, ...] = ()

    def excited(
        self, output: Array, labels: Sequence[str], values: Mapping[str, Array]
    ) -> list[dict[str, Any]]:
        """For the first units, the rows that excite each most and its largest weights.

        Args:
            output: (rows, units).
            labels: of the rows.
            values: of the parameters, by name.
        """
        matrix = None if self.weights is None else values[self.weights]
        found = []
        for unit in range(min(output.shape[1], UNITS)):
            rows = np.argsort(-output[:, unit], kind="stable")[:ROWS]
            weights: list[dict[str, Any]] = []
            if matrix is not None and matrix.ndim == 2 and unit < matrix.shape[1]:
                order = np.argsort(-np.abs(matrix[:, unit]), kind="stable")[:WEIGHTS]
                weights = [
                    {"name": self._input(k), "weight": float(matrix[k, unit])} for k in order
                ]
            found.append({
                "unit": unit,
                "rows": [{"label": labels[k], "value": float(output[k, unit])} for k in rows],
                "weights": weights,
            })  # fmt: skip
        return found

    def _input(self, place: int) -> str:
        return self.inputs[place] if place < len(self.inputs) else f"unit {place + 1}"


def layers_of(graph: Graph, names: Sequence[str] = ()) -> list[Layer]:
    """The dense layers in order, the output layer last.

    Args:
        graph: the network.
        names: of the inputs of the first layer.
    """
    found: list[Layer] = []
    for row, nodes in layers(graph):
        kind, _, activation = row.what.partition(", ")
        weights = [x for x in nodes if isinstance(x, Parameter) and x.suffix == ".w"]
        if kind != "dense" or not weights:
            continue
        matrix = weights[0]
        mine = names if not found and matrix.shape[:1] == (len(names),) else ()
        found.append(
            Layer(row.name, row.what, graph[row.name], graph.name(matrix),
                  BOUNDS.get(activation), tuple(mine))
        )  # fmt: skip
    return found
