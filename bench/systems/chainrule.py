"""Chainrule, through Model.fit and Model.predict."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import chainrule as cr
from bench.cells import RATES, Array, Cell, Network, data, start
from bench.systems.nets import KINDS


class Chainrule:
    """See System. `device` does the steps."""

    device = "cpu"

    def __init__(self, network: Cell, optimizer: str, threads: int) -> None:
        self._network, self._threads = network, threads
        self._optimizer = {"sgd": cr.SGD, "adam": cr.Adam}[optimizer](RATES[optimizer])
        x, t = data(network)
        self._data, self._start = {"x": x, "t": t}, start(network)
        self._asked: cr.Model | None = None

    def first(self) -> None:
        """See System."""
        self._fit(self.model(), 1)

    def train(self, epochs: int, ready: Callable[[], object]) -> tuple[float, float]:
        """See System. The epoch before the first measured one includes the compilation."""
        model = self.model()
        self._fit(model, 1)
        ready()
        begun = time.perf_counter()
        history = self._fit(model, epochs)  # which goes on
        return time.perf_counter() - begun, history["loss"][epochs - 1]

    def check(self) -> float:
        """See System."""
        model, size = self.model(), self._network.batch
        rows = [slice(k * size, (k + 1) * size) for k in range(3)]
        steps = ({name: x[part] for name, x in self._data.items()} for part in rows)
        *_, loss = (
            model.step(x, optimizer=self._optimizer, threads=self._threads, device=self.device)
            for x in steps
        )
        return loss

    def predict(self, x: Array) -> Array:
        """See System."""
        if self._asked is None:
            self._asked = self.model()
        return np.asarray(self._asked.predict({"x": x}))

    def _fit(self, model: cr.Model, epochs: int) -> cr.History:
        return model.fit(
            self._data, optimizer=self._optimizer, batch_size=self._network.batch, epochs=epochs,
            validation=None, threads=self._threads, verbose=False, device=self.device,
        )  # fmt: skip

    def model(self) -> cr.Model:
        """The network with the initial values of all systems."""
        network, x = self._network, self._data["x"]
        given = cr.input("x", x.shape[1:], dtype=str(x.dtype))
        t = cr.input("t", (), dtype="float32" if network.regression else "int32")
        if isinstance(network, Network):
            y = _dense(given, network)
        else:
            y = KINDS[network.kind](given, network)
        y = y[:, 0] if network.regression else y
        loss = cr.squared_error(y, t) if network.regression else cr.cross_entropy(y, t)
        return cr.Model(y, loss, values=self._start)


def _dense(x: cr.Node, network: Network) -> cr.Node:
    last = len(network.widths) - 2
    for k, width in enumerate(network.widths[1:]):
        x = cr.dense(x, width, "relu" if k < last else None, name=f"layer{k}")
    return x


class Bound(Chainrule):
    """Predictions by the function that `Model.predictor` binds."""

    def predict(self, x: Array) -> Array:
        """See System."""
        if self._asked is None:
            self._asked = self.model()
            self._predict = self._asked.predictor()
        return np.asarray(self._predict(x))
