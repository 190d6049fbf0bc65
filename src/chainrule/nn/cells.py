"""The cells of recurrent layers: the parameters and one time step of each kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from chainrule.errors import SettingError
from chainrule.graph.node import Node, Parameter, Scope
from chainrule.graph.source import user_line
from chainrule.nn.arguments import (
    Activation,
    activation_function,
    activation_name,
    call,
    new_parameter,
)
from chainrule.nn.init import Grouped, InitSpec, Orthogonal, Uniform
from chainrule.nn.naming import as_layer
from chainrule.ops.activations import sigmoid
from chainrule.ops.compare import where
from chainrule.ops.contract import matmul
from chainrule.ops.transcendental import tanh
from chainrule.types import TensorType

State = tuple[Node, ...]
"""The state of a layer between two time steps, each (N, units); empty where it is zero."""


@dataclass(frozen=True)
class Weights:
    """The parameters of a layer in one direction, of `g` gates.

    Attributes:
        w: (i, g * units), of the inputs.
        u: (units, g * units), of the state.
        b: (g * units,), or None.
        inner: (units,), the bias inside of the reset of a GRU, or None.
        blocks: the columns of `u` that are read apart.
    """

    w: Parameter
    u: Parameter
    b: Parameter | None = None
    inner: Parameter | None = None
    blocks: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Settings:
    """The settings of a layer's parameters; see `rnn`."""

    init: InitSpec = None
    recurrent_init: InitSpec = None
    bias: bool | InitSpec = True
    trainable: bool = True


@dataclass(frozen=True)
class Moment:
    """One time step of a layer; its nodes are named after it, `lstm.t3.h`.

    Attributes:
        scope: of the layer.
        t: the time, from 0.
        mask: (N, 1), whether the step counts; None: it does.
        last: whether the state h of this step is the output of the layer, with its name.
        counts: of the names of its other nodes.
    """

    scope: Scope
    t: int
    mask: Node | None = None
    last: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def part(self, name: str, node: Node, *known: Node) -> Node:
        """`node` under the name of a part of this step, computed from the known ones."""
        suffix = "" if self.last and name == "h" else f".t{self.t}.{name}"
        prefix = f".t{self.t}"
        return as_layer(self.scope, node, known, suffix=suffix, prefix=prefix, counts=self.counts)

    def new(self, name: str, node: Node, old: Node | None, *known: Node) -> Node:
        """A new part of the state; the old one where the step is masked."""
        inside = known if old is None else (*known, old)
        if self.mask is None:
            return self.part(name, node, *inside)
        before = 0.0 if old is None else old
        return self.part(name, where(self.mask, node, before), self.mask, *inside)


@dataclass(frozen=True)
class Cell:
    """A kind of recurrent layer.

    Attributes:
        units: the width of the state.
        gates: the number of blocks of `units` columns in its matrices.
        states: the number of arrays that the state has.
    """

    kind: ClassVar[str] = ""
    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1

    units: int

    def weights(self, scope: Scope, width: int, dtype: str, settings: Settings) -> Weights:
        """The parameters of a layer for inputs of `width` features."""
        o, wide = self.units, self.gates * self.units
        bound = (6 / (width + o)) ** 0.5  # Glorot's, for each gate by itself
        start = Uniform(-bound, bound) if settings.init is None else settings.init
        again = settings.recurrent_init
        again = Grouped(Orthogonal(), self.gates) if again is None else again
        trained = settings.trainable

        def parameter(suffix: str, shape: tuple[int, ...], init: InitSpec) -> Parameter:
            return new_parameter(scope, suffix, TensorType(shape, dtype), init, trainable=trained)

        w, u = parameter(".w", (width, wide), start), parameter(".u", (o, wide), again)
        if settings.bias is None:
            raise SettingError(
                self.kind, "bias is False for none, True for its usual start, or an initial value",
                got="None", at="line " + user_line(), fix="leave it out, or write bias=False",
            )  # fmt: skip
        blocks = self.blocks(scope, u)
        if settings.bias is False:
            return Weights(w, u, blocks=blocks)
        usual = self.bias() if settings.bias is True else settings.bias
        inner = parameter(".b_inner", (o,), "zeros") if self.inner else None
        return Weights(w, u, parameter(".b", (wide,), usual), inner, blocks)

    def bias(self) -> InitSpec:
        """The usual start of the bias."""
        return "zeros"

    @property
    def inner(self) -> bool:
        """Whether there is a bias inside of the reset."""
        return False

    def blocks(self, scope: Scope, u: Node) -> tuple[Node, ...]:
        """The columns of `u` that are read apart."""
        return ()

    def gate(self, x: Node, number: int, count: int = 1) -> Node:
        """The columns of a gate, or of several side by side."""
        first = number * self.units
        return x[..., first : first + count * self.units]

    def step(self, at: Moment, x: Node, state: State, weights: Weights) -> State:
        """The new state.

        Args:
            at: the step.
            x: what the inputs and the bias give, (N, gates * units).
            state: the old one; empty: zero.
            weights: of the layer.
        """
        raise NotImplementedError

    def _preactivation(self, at: Moment, x: Node, state: State, weights: Weights) -> Node:
        z = x + matmul(state[0], weights.u) if state else x
        return at.part("z", z, x, *state)  # (N, o) @ (o, g o) -> (N, g o)


@dataclass(frozen=True)
class Simple(Cell):
    """`h = activation(x w + h u + b)`."""

    kind = "rnn"

    activation: Activation = "tanh"

    def step(self, at: Moment, x: Node, state: State, weights: Weights) -> State:
        """See Cell."""
        z = self._preactivation(at, x, state, weights)
        function = activation_function(self.kind, self.activation)
        old = state[0] if state else None
        if function is None:
            return (at.new("h", z, old, z),)
        if activation_name(self.activation) is None:  # it may use other nodes of the graph
            h = call(self.kind, function, z, "an activation")
            return (at.new("h", h, old, *(h.inputs or (h,))),)
        return (at.new("h", function(z), old, z),)


@dataclass(frozen=True)
class LSTM(Cell):
    """Gates i, f, g, o: `c = f c + i g` and `h = o tanh(c)`."""

    kind = "lstm"
    gates = 4
    states = 2

    forget_bias: float = 1.0

    def bias(self) -> InitSpec:
        """Zeros, but for the forget gate."""
        start = np.zeros((4, self.units))
        start[1] = self.forget_bias
        return start.reshape(-1)

    def step(self, at: Moment, x: Node, state: State, weights: Weights) -> State:
        """See Cell."""
        z = self._preactivation(at, x, state, weights)
        i, f, o = (
            at.part(n, sigmoid(self.gate(z, k)), z) for n, k in zip("ifo", (0, 1, 3), strict=True)
        )
        g = at.part("g", tanh(self.gate(z, 2)), z)
        if state:
            c = at.new("c", f * state[1] + i * g, state[1], f, state[1], i, g)
        else:
            c = at.new("c", i * g, None, i, g)
        return at.new("h", o * tanh(c), state[0] if state else None, o, c), c


@dataclass(frozen=True)
class GRU(Cell):
    """Gates r, z, n: `n = tanh(...)`, `h = n + z (h - n)`; r resets h before or after `h u`."""

    kind = "gru"
    gates = 3

    reset_after: bool = True

    @property
    def inner(self) -> bool:
        """Whether there is a bias inside of the reset."""
        return self.reset_after

    def blocks(self, scope: Scope, u: Node) -> tuple[Node, ...]:
        """The columns of the gates, and those of the candidate, where the reset comes first."""
        if self.reset_after:
            return ()
        parts = ((".u_gates", self.gate(u, 0, 2)), (".u_candidate", self.gate(u, 2)))
        return tuple(as_layer(scope, part, (u,), suffix=suffix) for suffix, part in parts)

    def step(self, at: Moment, x: Node, state: State, weights: Weights) -> State:
        """See Cell."""
        if not state:
            r, z = self._gates(at, x)
            inside = None if weights.inner is None else r * weights.inner
            n = self._candidate(at, x, inside, r)
            return (at.new("h", n - z * n, None, z, n),)
        (old,) = state
        if self.reset_after:
            m = at.part("m", matmul(old, weights.u), old)  # (N, o) @ (o, 3 o) -> (N, 3 o)
            r, z = self._gates(at, x, self.gate(m, 0, 2), m)
            inside = self.gate(m, 2)
            inside = r * (inside if weights.inner is None else inside + weights.inner)
            n = self._candidate(at, x, inside, r, m)
        else:
            gates, candidate = weights.blocks
            r, z = self._gates(at, x, matmul(old, gates), old, gates)
            n = self._candidate(at, x, matmul(r * old, candidate), r, old, candidate)
        return (at.new("h", n + z * (old - n), old, z, n),)

    def _gates(
        self, at: Moment, x: Node, more: Node | None = None, *known: Node
    ) -> tuple[Node, Node]:
        """r and z of the inputs' part, and what the state adds to it."""
        inputs = self.gate(x, 0, 2)
        a = at.part("a", inputs if more is None else inputs + more, x, *known)
        r, z = (at.part(n, sigmoid(self.gate(a, k)), a) for k, n in enumerate("rz"))
        return r, z

    def _candidate(self, at: Moment, x: Node, inside: Node | None, *known: Node) -> Node:
        inputs = self.gate(x, 2)
        return at.part("n", tanh(inputs if inside is None else inputs + inside), x, *known)
