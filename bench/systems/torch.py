"""PyTorch: eager with fused optimizers, or the whole step compiled to one function."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch._inductor import config
from torch.func import grad_and_value
from torch.nn import functional

from bench.cells import RATES, Array, Cell, Network, data, start
from bench.systems.torch_nets import KINDS, converted

config.cpp_wrapper = True  # less Python around a compiled step, which matters for small networks


class _Torch:
    """The base of both: the data, the parameters, the loss, prediction."""

    def __init__(self, network: Cell, optimizer: str, threads: int) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self._network, self._optimizer, self._rate = network, optimizer, RATES[optimizer]
        self._start = {name: converted(name, array) for name, array in start(network).items()}
        x, t = data(network)
        self._x, self._t = torch.from_numpy(x), torch.from_numpy(t)
        if not network.regression:
            self._t = self._t.long()
        self._asked: list[torch.Tensor] = []

    def first(self) -> None:
        """See System."""
        self.train(1, lambda: None)

    def train(self, epochs: int, ready: Callable[[], object]) -> tuple[float, float]:
        """See System."""
        step = self._step(self._parameters())
        ready()
        begun = time.perf_counter()
        for _ in range(epochs):
            total = torch.zeros(())
            for rows in torch.randperm(self._network.rows).split(self._network.batch):
                total += step(rows)
        loss = float(total) / self._network.batches
        return time.perf_counter() - begun, loss

    def check(self) -> float:
        """See System."""
        step, size = self._step(self._parameters()), self._network.batch
        *_, loss = (step(torch.arange(k * size, (k + 1) * size)) for k in range(3))
        return float(loss)

    def predict(self, x: Array) -> Array:
        """See System."""
        self._asked = self._asked or self._parameters()
        with torch.inference_mode():
            return np.asarray(self._forward(self._asked, torch.from_numpy(x), training=False))

    def _parameters(self) -> list[torch.Tensor]:
        """The parameters in turn, at their initial values."""
        return [x.clone(memory_format=torch.preserve_format) for x in self._start.values()]

    def _step(self, parameters: list[torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
        raise NotImplementedError

    def _forward(
        self, parameters: list[torch.Tensor], x: torch.Tensor, *, training: bool
    ) -> torch.Tensor:
        if not isinstance(self._network, Network):
            named = dict(zip(self._start, parameters, strict=True))
            return KINDS[self._network.kind](named, x, training)
        for k in range(0, len(parameters), 2):
            x = functional.linear(x, parameters[k], parameters[k + 1])
            x = functional.relu(x) if k + 2 < len(parameters) else x
        return x[:, 0] if self._network.regression else x

    def _loss(
        self, parameters: list[torch.Tensor], x: torch.Tensor, t: torch.Tensor
    ) -> torch.Tensor:
        y = self._forward(parameters, x, training=True)
        if self._network.regression:
            return functional.mse_loss(y, t)
        return functional.cross_entropy(y, t)


class Eager(_Torch):
    """See System."""

    def _step(self, parameters: list[torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
        tables = self._optimizer == "sgd" and "bag.table" in self._start
        if tables:  # a step then touches the rows that it uses, which Adam's exact step cannot
            setattr(parameters[0], "rows_alone", True)  # noqa: B010  (no attribute of tensors)
        kinds: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        for parameter in parameters:
            parameter.requires_grad_()
        optimizer = kinds[self._optimizer](parameters, lr=self._rate, fused=not tables)

        def step(rows: torch.Tensor) -> torch.Tensor:
            loss = self._loss(parameters, self._x[rows], self._t[rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach()

        return step


class Compiled(_Torch):
    """See System. Gather, loss, gradient and update are one graph: it has the fewest calls."""

    def __init__(self, network: Cell, optimizer: str, threads: int) -> None:
        super().__init__(network, optimizer, threads)
        self._whole = torch.compile(self._update)
        self._compiled_forward = torch.compile(super()._forward, dynamic=False)

    def predict(self, x: Array) -> Array:
        """See System."""
        self._asked = self._asked or self._parameters()
        with torch.inference_mode():
            given = torch.from_numpy(x)
            return np.asarray(self._compiled_forward(self._asked, given, training=False))

    def _step(self, parameters: list[torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
        if not isinstance(self._network, Network) and self._network.recurs:
            raise ValueError("torch.compile has no gradient of PyTorch's recurrent layers")
        slots = [torch.zeros_like(p) for p in parameters * 2] if self._optimizer == "adam" else []
        count = torch.zeros(())

        def step(rows: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return self._whole(parameters, slots, count, self._x, self._t, rows)

        return step

    def _update(
        self,
        parameters: list[torch.Tensor],
        slots: list[torch.Tensor],
        count: torch.Tensor,
        x: torch.Tensor,
        t: torch.Tensor,
        rows: torch.Tensor,
    ) -> torch.Tensor:
        gradients, loss = grad_and_value(self._loss)(parameters, x[rows], t[rows])
        if self._optimizer == "sgd":
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=self._rate)
            return loss
        count.add_(1)
        one, two = 1 - 0.9**count, 1 - 0.999**count
        means, squares = slots[: len(parameters)], slots[len(parameters) :]
        for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
            m.mul_(0.9).add_(g, alpha=0.1)
            v.mul_(0.999).addcmul_(g, g, value=0.001)
            p.sub_(self._rate / one * m / ((v / two).sqrt() + 1e-8))
        return loss
