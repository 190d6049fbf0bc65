"""Recurrent layers: a state that goes through the time steps of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from chainrule.errors import DTypeError, SettingError, ShapeError
from chainrule.graph.node import Node, NodeLike, Scope
from chainrule.graph.source import user_line
from chainrule.nn.arguments import Activation, activation_function, features, operand_at, positive
from chainrule.nn.cells import GRU, LSTM, Cell, Moment, Settings, Simple, State
from chainrule.nn.init import InitSpec
from chainrule.nn.layers import dropout as dropped
from chainrule.nn.masks import of_sequences
from chainrule.nn.naming import as_layer, layer_scope
from chainrule.ops.build import as_node, broadcast_to, constant
from chainrule.ops.contract import matmul
from chainrule.ops.join import concat, stack
from chainrule.ops.random import check_rate
from chainrule.ops.shape import expand_dims
from chainrule.system.checks import flag
from chainrule.types import N, Shape, is_number, show

Outputs = Literal["all", "last", "states"]
"""The result of a recurrent layer: the state h of all steps, or of the last, or all last states."""

OUTPUTS = ("all", "last", "states")


def rnn(
    x: Node,
    units: int,
    activation: Activation = "tanh",
    *,
    layers: int = 1,
    bidirectional: bool = False,
    mask: NodeLike | None = None,
    initial: NodeLike | Sequence[Node] | None = None,
    outputs: Outputs = "all",
    dropout: float = 0.0,
    init: InitSpec = None,
    recurrent_init: InitSpec = None,
    bias: bool | InitSpec = True,
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """A simple recurrent layer: `h = activation(x w + h u + b)` for each step of a sequence.

    The graph has every step of the sequence, whose length is fixed; what the inputs give is one
    product for all steps. The nodes of step 3, counted from 0, are named `rnn.t3.z`, what goes into
    the activation, and `rnn.t3.h`, the state after it. Parameters are `rnn.w` (i, units), `rnn.u`
    (units, units), which starts orthogonal, and `rnn.b` (units,). Several layers are named
    `rnn1`, `rnn2`, both directions `rnn.forward` and `rnn.backward`.

    Args:
        x: (N, t, i), t steps of i features.
        units: the width of the state.
        activation: as in `dense`.
        layers: the number of layers, each on the states of the one before.
        bidirectional: join the states of a second layer that goes from the last step to the first.
        mask: the steps that take part: booleans (N, t), or lengths (N,) as integers; None: all.
            Another step leaves the state as it was, and gives it again.
        initial: the states before the first step, (N, s, units), or the same for all examples,
            (s, units), as a parameter or as an array; (N, units) or (units,) where s is 1. A list
            of nodes is stacked, as [h, c] of an LSTM. In the order of the layers: of each the state
            forwards, then backwards. None: zero.
        outputs: "all" for the states of all steps, (N, t, units); "last" for the last, (N, units),
            which is that of the last step that takes part; backwards, that of step 0; "states"
            for the last of all layers and directions, (N, s, units), which `initial` takes.
            In both directions, "all" and "last" are twice as wide.
        dropout: the rate between layers; 0 for none.
        init, recurrent_init: the initial `w` and `u`. None: Glorot's uniform numbers, and an
            orthogonal matrix.
        bias, trainable, name: as in `dense`.

    Raises:
        ShapeError: `x` is not (N, t, i), t is 0 or not known, or `mask` or `initial` does not fit.
        DTypeError: `x` is not floating point, or the mask neither bool nor integer.
        SettingError: a setting is not valid.
    """
    activation_function("rnn", activation)
    cell = Simple(positive("rnn", "units", units), activation)
    settings = Settings(init, recurrent_init, bias, trainable)
    return _stacked(cell, x, settings, layers, bidirectional, mask, initial, outputs, dropout, name)


def lstm(
    x: Node,
    units: int,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    mask: NodeLike | None = None,
    initial: NodeLike | Sequence[Node] | None = None,
    outputs: Outputs = "all",
    dropout: float = 0.0,
    init: InitSpec = None,
    recurrent_init: InitSpec = None,
    bias: bool | InitSpec = True,
    forget_bias: float = 1.0,
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """Long short-term memory: a state h with a memory c, which gates write, keep and read.

    With `z = x w + h u + b`, of which i, f, g and o are a quarter each, in this order:

        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)

    Parameters are `lstm.w` (i, 4 * units), `lstm.u` (units, 4 * units), of which each quarter
    starts orthogonal, and `lstm.b` (4 * units,). Names of steps as in `rnn`: `lstm.t3.i`,
    `lstm.t3.f`, `lstm.t3.g`, `lstm.t3.o`, `lstm.t3.c`, `lstm.t3.h`. The order of the quarters is
    that of PyTorch and Keras.

    Args:
        x, units, layers, bidirectional, mask, dropout, init, recurrent_init, bias, trainable,
            name: as in `rnn`.
        initial: as in `rnn`; here s counts h and then c for each layer and direction.
        outputs: as in `rnn`; "all" and "last" are of h, "states" are h and c.
        forget_bias: the initial bias of the forget gate. At 1 it begins by keeping 0.73 of c.

    Source: S. Hochreiter and J. Schmidhuber, Long short-term memory, 1997; the forget gate: F. Gers
    et al., Learning to forget, 2000; its bias: R. Jozefowicz et al., ICML 2015.

    Raises:
        ShapeError, DTypeError, SettingError: as `rnn`.
    """
    if not is_number(forget_bias):
        raise SettingError(
            "lstm", "forget_bias is a number", got=repr(forget_bias), at="line " + user_line()
        )
    cell = LSTM(positive("lstm", "units", units), float(forget_bias))
    settings = Settings(init, recurrent_init, bias, trainable)
    return _stacked(cell, x, settings, layers, bidirectional, mask, initial, outputs, dropout, name)


def gru(
    x: Node,
    units: int,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    mask: NodeLike | None = None,
    initial: NodeLike | Sequence[Node] | None = None,
    outputs: Outputs = "all",
    reset_after: bool = True,
    dropout: float = 0.0,
    init: InitSpec = None,
    recurrent_init: InitSpec = None,
    bias: bool | InitSpec = True,
    trainable: bool = True,
    name: str | None = None,
) -> Node:
    """Gated recurrent unit: a state h of which a gate keeps a part, and a reset hides another.

    With r, z and n a third each, in this order, of `x w + b`, and `u` cut in the same way:

        r = sigmoid(x_r + h u_r)
        z = sigmoid(x_z + h u_z)
        n = tanh(x_n + r * (h u_n + b_inner))      # reset_after=True, as PyTorch and Keras
        n = tanh(x_n + (r * h) u_n)                # reset_after=False, as in the paper
        h = z * h + (1 - z) * n

    Parameters are `gru.w` (i, 3 * units), `gru.u` (units, 3 * units), of which each third starts
    orthogonal, `gru.b` (3 * units,), and, if the reset comes after the product, `gru.b_inner`
    (units,). Names of steps as in `rnn`: `gru.t3.r`, `gru.t3.z`, `gru.t3.n`, `gru.t3.h`. The order
    of the thirds is that of PyTorch; Keras has z, r, n.

    Args:
        x, units, layers, bidirectional, mask, initial, outputs, dropout, init, recurrent_init,
            bias, trainable, name: as in `rnn`; an initial bias is that of `b`.
        reset_after: whether the gate r comes after the product of the state, or before it.

    Source: K. Cho et al., Learning phrase representations using RNN encoder-decoder, 2014.

    Raises:
        ShapeError, DTypeError, SettingError: as `rnn`.
    """
    cell = GRU(positive("gru", "units", units), flag("gru", "reset_after", reset_after))
    settings = Settings(init, recurrent_init, bias, trainable)
    return _stacked(cell, x, settings, layers, bidirectional, mask, initial, outputs, dropout, name)


# ---------------------------------------------------------------- layers and directions


def _stacked(
    cell: Cell, x: Node, settings: Settings, layers: int, bidirectional: bool,
    mask: NodeLike | None, initial: NodeLike | Sequence[Node] | None, outputs: Outputs,
    dropout: float, name: str | None,
) -> Node:  # fmt: skip
    """Layers and directions of a cell; see `rnn`."""
    where = cell.kind
    x = _sequence(where, x)
    count = positive(where, "layers", layers)
    both = flag(where, "bidirectional", bidirectional)
    rate = check_rate(where, dropout)
    if outputs not in OUTPUTS:
        raise SettingError(
            where, "unknown outputs", expected='"all", "last" or "states"', got=repr(outputs),
            at="line " + user_line(),
        )  # fmt: skip
    steps = None if mask is None else _steps(where, mask, x, name)
    directions = 1 + both
    starts = _states(cell, initial, x, count * directions)
    finals: list[Node] = []
    for number in range(count):
        base = name if name is None or count == 1 else f"{name}{number + 1}"
        if rate and number:
            x = dropped(x, rate, name=None if base is None else f"{base}.dropout")
        own = starts[number * directions : (number + 1) * directions]
        last = outputs == "last" and number == count - 1
        x, states = _layer(cell, x, settings, base, steps, own, last=last)
        finals += states
    if outputs != "states":
        return x
    scope = layer_scope(name and f"{name}.states", f"{where}.states")
    return as_layer(scope, stack(finals, 1), finals)


def _layer(
    cell: Cell, x: Node, settings: Settings, name: str | None, mask: Node | None,
    starts: list[State], *, last: bool,
) -> tuple[Node, list[Node]]:  # fmt: skip
    """One layer, in one direction or in both: its output and its last states."""
    if len(starts) == 1:
        run = _Run(cell, x, settings, layer_scope(name, cell.kind), mask, last)
        y, states = run.through(starts[0])
        return y, list(states)
    made: list[Node] = []
    finals: list[Node] = []
    for word, start in zip(("forward", "backward"), starts, strict=True):
        scope = layer_scope(name and f"{name}.{word}", f"{cell.kind}.{word}")
        run = _Run(cell, x, settings, scope, mask, last, backwards=word == "backward")
        y, states = run.through(start)
        made.append(y)
        finals += states
    return as_layer(layer_scope(name, cell.kind), concat(made), made), finals


@dataclass(frozen=True)
class _Run:
    """One layer in one direction."""

    cell: Cell
    x: Node
    settings: Settings
    scope: Scope
    mask: Node | None
    last: bool
    backwards: bool = False

    def through(self, state: State) -> tuple[Node, State]:
        """The output and the last state, from the first one."""
        x, scope = self.x, self.scope
        length, width = x.shape[1:]
        assert isinstance(length, int)
        assert isinstance(width, int)
        weights = self.cell.weights(scope, width, x.dtype, self.settings)
        inputs = matmul(x, weights.w)  # (N, t, i) @ (i, g o) -> (N, t, g o)
        if weights.b is not None:
            inputs = inputs + weights.b
        inputs = as_layer(scope, inputs, (x,), suffix=".x")
        if length == 1 and not state:  # so that the graph has all parameters
            zero = broadcast_to(constant(0.0, x.dtype), (x.shape[0], self.cell.units))
            state = (zero,) * self.cell.states
        times = range(length)[::-1] if self.backwards else range(length)
        found: list[Node] = []
        for t in times:
            at = Moment(scope, t, last=self.last and t == times[-1])
            if self.mask is not None:
                at = replace(at, mask=at.part("mask", self.mask[:, t : t + 1], self.mask))
            state = self.cell.step(at, at.part("x", inputs[:, t], inputs), state, weights)
            found.append(state[0])
        if self.last:
            return state[0], state
        found = found[::-1] if self.backwards else found
        return as_layer(scope, stack(found, 1), found), state


# ---------------------------------------------------------------- operands


def _sequence(where: str, x: Node) -> Node:
    """`x`, if it is a sequence of features. Raises ShapeError."""
    x, _ = features(where, x)
    if x.ndim == 3 and isinstance(x.shape[1], int) and x.shape[1]:
        return x
    raise ShapeError(
        where, "needs sequences of a fixed length of at least 1",
        expected="(N, steps, features)", got=show(x.shape),
        at=operand_at(x),
        fix="one feature a step: expand_dims(x, -1)" if x.ndim == 2 and x.shape[0] is N else None,
    )  # fmt: skip


def _steps(where: str, mask: NodeLike, x: Node, name: str | None) -> Node:
    """The steps that take part, bool (N, t). Raises DTypeError, ShapeError."""
    mask = as_node(mask)
    steps = of_sequences(where, mask, x)
    if steps is mask:
        return steps
    return as_layer(layer_scope(name and f"{name}.mask", f"{where}.mask"), steps, (mask,))


def _states(
    cell: Cell, initial: NodeLike | Sequence[Node] | None, x: Node, count: int
) -> list[State]:
    """The first states of each layer and direction; empty where they are zero."""
    if initial is None:
        return [()] * count
    if isinstance(initial, list | tuple) and any(isinstance(part, Node) for part in initial):
        initial = stack(initial, -2)  # s of (N, units)
    given = as_node(initial, x.dtype)
    total = count * cell.states
    alone: Shape = (total, cell.units)
    shape = (x.shape[0], *alone)
    if total == 1 and given.shape in ((cell.units,), (x.shape[0], cell.units)):
        given = expand_dims(given, -2)
    if given.dtype != x.dtype:
        raise DTypeError(
            cell.kind, "the initial states have another type than the sequence",
            expected=x.dtype, got=given.dtype, at="line " + user_line(),
        )  # fmt: skip
    if given.shape not in (alone, shape):
        raise ShapeError(
            cell.kind, "the initial states do not fit",
            expected=f"{show(shape)} or {show(alone)}", got=show(given.shape),
            at=operand_at(given),
        )  # fmt: skip
    whole = broadcast_to(given, shape)
    each = [whole[:, k] for k in range(total)]
    return [tuple(each[k : k + cell.states]) for k in range(0, total, cell.states)]
