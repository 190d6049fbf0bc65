"""JAX: a jitted step, or a jitted scan over the steps of an epoch; the state is donated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.cells import RATES, Array, Network, data, start

State = Any  # parameters, slots of the optimizer, number of the step


class _Jax:
    """The base of both: the data, a step, prediction.

    Rows are shuffled by NumPy and classes are one-hot, since both are quicker than JAX's own
    permutation and indexing on a CPU.
    """

    def __init__(self, network: Network, optimizer: str, threads: int) -> None:
        self._network, self._optimizer, self._rate = network, optimizer, RATES[optimizer]
        self._x, self._t = map(jnp.asarray, data(network))
        self._start = start(network)
        self._random = np.random.default_rng(0)
        self._epoch = self._compiled()
        self._forward = jax.jit(_forward)
        self._asked: Any = None

    def first(self) -> None:
        """See System."""
        self.train(1, lambda: None)

    def train(self, epochs: int, ready: Callable[[], object]) -> tuple[float, float]:
        """See System."""
        parameters = jax.tree.map(jnp.array, self._start)  # a copy, to be donated
        pair = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]
        slots = pair if self._optimizer == "adam" else []
        state = jax.block_until_ready((parameters, slots, jnp.float32(0)))
        ready()
        begun = time.perf_counter()
        for _ in range(epochs):
            order = self._random.permutation(self._network.rows).astype(np.int32)
            state, loss = self._epoch(state, order.reshape(-1, self._network.batch))
        jax.block_until_ready(state)
        return time.perf_counter() - begun, float(loss)

    def predict(self, x: Array) -> Array:
        """See System."""
        if self._asked is None:
            self._asked = jax.tree.map(jnp.asarray, self._start)
        return np.asarray(self._forward(self._asked, x))

    def _compiled(self) -> Callable[[State, Any], tuple[State, Any]]:
        raise NotImplementedError

    def _loss(self, parameters: Any, x: Any, t: Any) -> Any:
        y = _forward(parameters, x)
        if self._network.regression:
            return jnp.mean((y[:, 0] - t) ** 2)
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(y) * jax.nn.one_hot(t, y.shape[1]), axis=1))

    def _step(self, state: State, x: Any, t: Any, rows: Any) -> tuple[State, Any]:
        x, t = (array.at[rows].get(mode="promise_in_bounds") for array in (x, t))
        parameters, slots, count = state
        loss, gradients = jax.value_and_grad(self._loss)(parameters, x, t)
        rate, count = self._rate, count + 1
        if not slots:
            parameters = jax.tree.map(lambda p, g: p - rate * g, parameters, gradients)
            return (parameters, slots, count), loss
        one, two = 1 - 0.9**count, 1 - 0.999**count
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, slots[0], gradients)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, slots[1], gradients)
        parameters = jax.tree.map(
            lambda p, m, v: p - rate / one * m / (jnp.sqrt(v / two) + 1e-8),
            parameters, mean, square,
        )  # fmt: skip
        return (parameters, [mean, square], count), loss


class Step(_Jax):
    """See System. Python calls the compiled step for each minibatch."""

    def _compiled(self) -> Callable[[State, Any], tuple[State, Any]]:
        step = jax.jit(self._step, donate_argnums=0)

        def epoch(state: State, order: Any) -> tuple[State, Any]:
            total = 0.0
            for rows in order:
                state, loss = step(state, self._x, self._t, rows)
                total += loss
            return state, total / len(order)

        return epoch


class Scan(_Jax):
    """See System. Python calls a compiled epoch."""

    def _compiled(self) -> Callable[[State, Any], tuple[State, Any]]:
        def epoch(state: State, x: Any, t: Any, order: Any) -> tuple[State, Any]:
            state, losses = jax.lax.scan(lambda s, r: self._step(s, x, t, r), state, order)
            return state, jnp.mean(losses)

        compiled = jax.jit(epoch, donate_argnums=0)
        return lambda state, order: compiled(state, self._x, self._t, order)


def _forward(parameters: Any, x: Any) -> Any:
    *hidden, (weights, biases) = parameters
    for w, b in hidden:
        x = jax.nn.relu(x @ w + b)
    return x @ weights + biases
