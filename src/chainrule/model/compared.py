"""The differences of two models, as records and plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from chainrule.model.onrows import OnRows
from chainrule.train.history import History


@dataclass(frozen=True)
class Layer:
    """A layer by its kind, shape and number of parameters."""

    name: str
    what: str
    shape: str
    parameters: int


@dataclass(frozen=True)
class Weights:
    """The parameters of a layer that both models have with one shape.

    Attributes:
        layer: its name.
        size: the number of parameters.
        a, b: the norms.
        apart: the norm of the difference.
    """

    layer: str
    size: int
    a: float
    b: float
    apart: float

    @property
    def relative(self) -> float:
        """The norm of the difference relative to the mean of both norms; 0 where both are 0."""
        scale = (self.a + self.b) / 2
        return self.apart / scale if scale else 0.0


@dataclass(frozen=True, repr=False)
class Compared:
    """The comparison of two models.

    Attributes:
        names: of A and B.
        only_a, only_b: layers that one has.
        changed: pairs of layers of one name that differ in kind, shape or size.
        layers: the number of layers of each.
        settings: name, value in A, value in B, of settings that differ.
        same_settings: the number of settings that are the same.
        weights: of the layers that both have.
        parameters: the number of each model's parameters.
        histories: of the training of each.
        rows: scores and answers on data; None where there is none.
        notes: on what could not be compared.
    """

    names: tuple[str, str]
    only_a: tuple[Layer, ...]
    only_b: tuple[Layer, ...]
    changed: tuple[tuple[Layer, Layer], ...]
    layers: tuple[int, int]
    settings: tuple[tuple[str, str, str], ...]
    same_settings: int
    weights: tuple[Weights, ...]
    parameters: tuple[int, int]
    histories: tuple[History, History]
    rows: OnRows | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "a": self.names[0], "b": self.names[1], "notes": list(self.notes),
            "structure": {
                "layers": list(self.layers), "parameters": list(self.parameters),
                "only_a": [asdict(x) for x in self.only_a],
                "only_b": [asdict(x) for x in self.only_b],
                "changed": [{"a": asdict(x), "b": asdict(y)} for x, y in self.changed],
            },
            "settings": [{"name": x, "a": a, "b": b} for x, a, b in self.settings],
            "weights": [asdict(x) | {"relative": x.relative} for x in self.weights],
            "histories": {"a": self.histories[0].to_dict(), "b": self.histories[1].to_dict()},
            "rows": None if self.rows is None else self.rows.to_dict(),
        }  # fmt: skip
