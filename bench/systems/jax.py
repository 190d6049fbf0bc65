"""JAX: a jitted step, or a jitted scan over the steps of an epoch; the state is donated."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench.cells import RATES, Array, Cell, Network, data, start
from bench.systems.jax_nets import KINDS

State = Any  # parameters, slots of the optimizer, number of the step


class _Jax:
    """The base of both: the data, a step, prediction.

    Rows are shuffled by NumPy and classes are one-hot, since both are quicker than JAX's own
    permutation and indexing on a CPU.
    """

    def __init__(self, network: Cell, optimizer: str, threads: int) -> None:
        self._network, self._optimizer, self._rate = network, optimizer, RATES[optimizer]
        self._x, self._t = map(jnp.asarray, data(network))
        self._start = start(network)
        self._random = np.random.default_rng(0)
        self._epoch = self._compiled()
        self._forward = jax.jit(partial(self._outputs, training=False))
        self._asked: Any = None

    def first(self) -> None:
        """See System."""
        self.train(1, lambda: None)

    def train(self, epochs: int, ready: Callable[[], object]) -> tuple[float, float]:
        """See System."""
        state = jax.block_until_ready(self._state())
        ready()
        begun = time.perf_counter()
        for _ in range(epochs):
            order = self._random.permutation(self._network.rows).astype(np.int32)
            state, loss = self._epoch(state, order.reshape(-1, self._network.batch))
        jax.block_until_ready(state)
        return time.perf_counter() - begun, float(loss)

    def check(self) -> float:
        """See System."""
        state, step = self._state(), jax.jit(self._step)
        for k in range(3):
            rows = jnp.arange(k * self._network.batch, (k + 1) * self._network.batch)
            state, loss = step(state, self._x, self._t, rows)
        return float(loss)

    def _state(self) -> State:
        """The initial state, to be donated."""
        parameters = jax.tree.map(jnp.array, self._start)
        pair = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]
        return parameters, pair if self._optimizer == "adam" else [], jnp.float32(0)

    def predict(self, x: Array) -> Array:
        """See System."""
        if self._asked is None:
            self._asked = jax.tree.map(jnp.asarray, self._start)
        return np.asarray(self._forward(self._asked, x))

    def _compiled(self) -> Callable[[State, Any], tuple[State, Any]]:
        raise NotImplementedError

    def _loss(self, parameters: Any, x: Any, t: Any) -> Any:
        y = self._outputs(parameters, x, training=True)
        if self._network.regression:
            return jnp.mean((y[:, 0] - t) ** 2)
        return -jnp.mean(jnp.sum(jax.nn.log_softmax(y) * jax.nn.one_hot(t, y.shape[1]), axis=1))

    def _outputs(self, parameters: Any, x: Any, *, training: bool) -> Any:
        if isinstance(self._network, Network):
            return _dense(parameters, x)
        return KINDS[self._network.kind](parameters, x, training)

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
    """See System. Python calls a compiled epoch.

    XLA runs convolutions in a loop by its slowest code, hundreds of times slower: Step has them.
    """

    def __init__(self, network: Cell, optimizer: str, threads: int) -> None:
        if not isinstance(network, Network) and network.convolves:
            raise ValueError("XLA does not compile convolutions in a loop well: JAX step has them")
        super().__init__(network, optimizer, threads)

    def _compiled(self) -> Callable[[State, Any], tuple[State, Any]]:
        def epoch(state: State, x: Any, t: Any, order: Any) -> tuple[State, Any]:
            state, losses = jax.lax.scan(lambda s, r: self._step(s, x, t, r), state, order)
            return state, jnp.mean(losses)

        compiled = jax.jit(epoch, donate_argnums=0)
        return lambda state, order: compiled(state, self._x, self._t, order)


def _dense(parameters: Any, x: Any) -> Any:
    last = len(parameters) // 2 - 1
    for k in range(last):
        x = jax.nn.relu(x @ parameters[f"layer{k}.w"] + parameters[f"layer{k}.b"])
    return x @ parameters[f"layer{last}.w"] + parameters[f"layer{last}.b"]
