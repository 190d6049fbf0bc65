"""Random networks of all kinds of layers and ops, with data and a way to train them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

import chainrule as cr
from chainrule.engine.compile import build_step
from chainrule.graph import Graph, Node
from chainrule.graph.op import FUNCTIONS as F
from chainrule.graph.step import Step
from chainrule.nn.arguments import ACTIVATIONS
from chainrule.train.optim import LBFGS, OPTIMIZERS, Optimizer, optimizer
from chainrule.train.schedules import rates as rates_of

Array = np.ndarray[Any, Any]
WIDTHS = (1, 2, 3, 5, 8, 17, 45, 46)
ROWS, MOST_ROWS, STEPS, CODES = 40, 17, 4, 6


@dataclass(frozen=True)
class Network:
    """A network to train, and all that a run of a few steps needs.

    Attributes:
        loss, outputs: of the graph.
        data: for each input its array.
        rule, settings: the optimizer, and the other arguments of `build_step`.
        batches, rates: of the steps.
        seed: of what is random in a step.
    """

    loss: Node
    outputs: list[Node]
    data: Mapping[str, Array]
    rule: Optimizer
    settings: Mapping[str, Any]
    batches: list[Array]
    rates: list[float]
    seed: int

    def step(self) -> Step:
        """Its training step."""
        graph = Graph([*self.outputs, self.loss])
        return build_step(graph, self.loss, self.rule, **self.settings)


@dataclass
class Draft:
    """A network that grows.

    Attributes:
        pick: decides everything; what it draws is all that a network depends on.
        dtype: of all numbers in it.
        nodes: the values so far, each (N, width).
        shared: weights that were used before, and may be again.
        data: of the inputs made so far.
    """

    pick: random.Random
    dtype: str
    nodes: list[Node] = field(default_factory=list)
    shared: list[Node] = field(default_factory=list)
    data: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers = np.random.default_rng(self.pick.randrange(2**32))

    def maybe(self, *chances: int) -> bool:
        """True one time in `chances`."""
        return self.pick.randrange(*chances or (2,)) == 0

    def width(self) -> int:
        return self.pick.choice(WIDTHS)

    def node(self) -> Node:
        """One of the values so far, more often a late one."""
        return self.nodes[-1] if self.maybe() else self.pick.choice(self.nodes)

    def like(self, x: Node) -> Node:
        """A value as wide as `x`: one that is there, or a projection of one."""
        known = [y for y in self.nodes if y.shape == x.shape]
        return self.pick.choice(known) if known and self.maybe() else self.dense(self.node(), x)

    def dense(self, x: Node, like: Node) -> Node:
        return cr.dense(x, wide(like), bias=self.maybe())

    def features(self, width: int) -> Node:
        """Numbers of every example."""
        name = f"x{len(self.data)}"
        self.data[name] = self.numbers.normal(size=(ROWS, width)).astype(self.dtype)
        return cr.input(name, (width,), dtype=self.dtype)

    def codes(self, *shape: int) -> Node:
        """Whole numbers from 0 below CODES of every example."""
        name, dtype = f"codes{len(self.data)}", self.pick.choice(("int32", "int64"))
        self.data[name] = self.numbers.integers(0, CODES, (ROWS, *shape)).astype(dtype)
        return cr.input(name, shape, dtype=dtype)

    def constant_input(self, width: int) -> Node:
        """Numbers that are the same for all examples."""
        name = f"all{len(self.data)}"
        self.data[name] = self.numbers.normal(size=width).astype(self.dtype)
        return cr.input(name, (width,), dtype=self.dtype, batch=False)

    def weights(self, *shape: int) -> Node:
        """A parameter of that shape: a new one, or one that is used already."""
        known = [w for w in self.shared if w.shape == shape]
        if known and not self.maybe(4):
            return self.pick.choice(known)
        made = cr.parameter(
            f"p{len(self.shared)}", self.numbers.normal(size=shape) / max(shape[0], 1) ** 0.5,
            dtype=self.dtype, trainable=not self.maybe(5),
        )  # fmt: skip
        self.shared.append(made)
        return made


Move = Callable[[Draft, Node], Node]


def recurrent(d: Draft) -> Node:
    """The last state of a sequence of a few steps."""
    steps, width = d.pick.choice((1, 2, 6)), d.pick.choice((1, 3))
    x = cr.reshape(d.features(steps * width), (cr.N, steps, width))
    layer = d.pick.choice((cr.rnn, cr.lstm, cr.gru))
    return layer(x, d.width(), outputs="last", bidirectional=d.maybe(3), layers=1 + d.maybe(4))


def convolutional(d: Draft) -> Node:
    """The features of small images, after a few layers of images."""
    h, w, c = d.pick.choice((1, 2, 5)), d.pick.choice((1, 3, 6)), d.pick.choice((1, 2, 4))
    x = cr.reshape(d.features(h * w * c), (cr.N, h, w, c))
    for _ in range(d.pick.choice((1, 2, 3))):
        x = d.pick.choice(IMAGE_LAYERS)(d, x)
    x = cr.global_pool(x, d.pick.choice(("mean", "max"))) if d.maybe() else cr.flatten(x)
    return cr.dense(x, d.width())


IMAGE_LAYERS: tuple[Move, ...] = (
    lambda d, x: cr.conv(
        x, d.pick.choice((1, 3, 4)), d.pick.choice((1, 2, 3, (3, 1))),
        d.pick.choice((None, "relu", "tanh")), stride=d.pick.choice((1, 2)),
        dilation=d.pick.choice((1, 2)), bias=d.maybe(),
    ),
    lambda d, x: cr.conv(x, 2 * x.shape[-1], (2, 3), groups=x.shape[-1], padding=(1, (0, 2))),
    lambda d, x: cr.depthwise_conv(x, 3, "relu", multiplier=d.pick.choice((1, 2))),
    lambda d, x: cr.separable_conv(x, 3, 3, stride=d.pick.choice((1, 2))),
    lambda d, x: cr.conv_transpose(x, 2, d.pick.choice((1, 2, 3)), stride=d.pick.choice((1, 2))),
    lambda d, x: cr.max_pool(x, d.pick.choice((2, 3)), stride=d.pick.choice((1, 2)),
                             padding="same"),
    lambda d, x: cr.average_pool(x, 2, padding=1, ceil=True, count_padding=d.maybe()),
    lambda d, x: cr.adaptive_pool(x, d.pick.choice((1, 2)), d.pick.choice(("mean", "max"))),
    lambda d, x: cr.upsample(x, (1, 2), method=d.pick.choice(("nearest", "linear"))),
    lambda d, x: cr.batch_norm(cr.tanh(x)),  # else a shift before it has a gradient of 0
    lambda d, x: cr.group_norm(cr.concat([x, -2 * x], -1), 1),
    lambda d, x: cr.local_response_norm(x, 3, alpha=0.5),
)  # fmt: skip


def slid(d: Draft, x: Node, fill: float = 0.0) -> Node:
    """Windows of three features."""
    settings = {"stride": d.pick.choice((1, 2, 4)), "dilation": d.pick.choice((1, 2))}
    return cr.windows(x, 3, **settings, padding=2, fill=fill)


def wide(x: Node) -> int:
    """The number of features of (N, width)."""
    return int(x.shape[1])


# ---------------------------------------------------------------- layers

LAYERS: dict[str, Move] = {
    "dense": lambda d, x: cr.dense(
        x, d.width(), d.pick.choice(ACTIVATIONS), trainable=not d.maybe(6)
    ),
    "plain dense": lambda d, x: cr.dense(x, d.width(), bias=d.maybe()),
    "relu dense": lambda d, x: cr.dense(x, d.width(), "relu"),
    "images": lambda d, x: convolutional(d),
    "dropout": lambda d, x: cr.dropout(x, d.pick.choice((0.1, 0.5, 0.9))),
    "batch norm": lambda d, x: cr.batch_norm(x),
    "layer norm": lambda d, x: cr.layer_norm(x if wide(x) > 1 else cr.pad(x, [(0, 0), (0, 1)])),
    "rms norm": lambda d, x: cr.rms_norm(x),
    "piecewise": lambda d, x: cr.piecewise(
        x, np.tile(sorted(d.pick.choices((-2, -0.5, 0, 0.1, 3), k=4)), (wide(x), 1)), 3
    ),
    "periodic": lambda d, x: cr.periodic(x, 3, waves=2),
    "mlp": lambda d, x: cr.mlp(
        x, (d.width() + 1, d.width() + 1), d.pick.choice(("relu", "gelu", "tanh")),
        dropout=d.pick.choice((0.0, 0.2)), norm=d.pick.choice((None, "batch", "layer", "rms")),
    ),
    "residual": lambda d, x: cr.residual(x, cr.layer.dense(wide(x), "silu")),
    "projected": lambda d, x: cr.residual(x, cr.layer.dense(d.width(), "elu"), project=True),
    "attention": lambda d, x: attended(d, x),
    "embedding": lambda d, x: cr.embedding(d.codes(), CODES, d.width(), dtype=d.dtype),
    "bag of words": lambda d, x: cr.mean(
        cr.embedding(d.codes(d.pick.choice((1, 3, 9))), CODES, d.width(), dtype=d.dtype), 1
    ),
    "sparse embedding": lambda d, x: cr.embedding(
        d.codes(), CODES, d.width(), dtype=d.dtype, sparse=True
    ),
    "sparse bag of words": lambda d, x: cr.mean(
        cr.embedding(d.codes(d.pick.choice((1, 4))), CODES, d.width(), dtype=d.dtype, sparse=True),
        1,
    ),
    "embedding bag": lambda d, x: bag(d, d.pick.choice(("sum", "mean", "max"))),
    "weighted bag": lambda d, x: bag(d, d.pick.choice(("sum", "mean")), cr.sigmoid(x)),
    "fields": lambda d, x: cr.pair_interactions(
        cr.field_embedding(d.codes(3), (CODES, CODES, CODES), d.width(), dtype=d.dtype)
    ),
    "factorisation": lambda d, x: cr.factorisation(cr.tanh(x), 2, d.pick.choice((1, 3)), init=0.1),
    "experts": lambda d, x: cr.mixture_of_experts(
        x, d.pick.choice((1, 2, 3)), cr.layer.dense(d.width(), "tanh")
    ),
    "sparse and shared": lambda d, x: shared_table(d, d.width()),
    "more features": lambda d, x: d.features(d.width()),
    "scaled by an input": lambda d, x: x * d.constant_input(wide(x)),
    "recurrent": lambda d, x: recurrent(d),
}  # fmt: skip

# ---------------------------------------------------------------- one value, element by element

UNARY: dict[str, Callable[[Node], Node]] = {
    "abs": cr.abs,
    "cast": lambda x: cr.cast(cr.cast(x, "float64"), x.dtype),
    "clip": lambda x: cr.clip(x, -0.7, 0.9),
    "cos": cr.cos,
    "cube": lambda x: cr.tanh(x) ** 3,
    "erf": cr.erf,
    "exp": lambda x: cr.exp(-cr.square(x)),
    "expm1": lambda x: cr.expm1(cr.tanh(x)),
    "floor": lambda x: x - cr.floor(x * 0.5),
    "log": lambda x: cr.log(2 + cr.sin(x)),
    "log1p": lambda x: cr.log1p(cr.square(x)),
    "mish": cr.mish,
    "negative": lambda x: -x,
    "reciprocal": lambda x: cr.reciprocal(1 + cr.square(x)),
    "round": lambda x: x + cr.round(x * 2) * 0.1,
    "rsqrt": lambda x: cr.rsqrt(1 + cr.square(x)),
    "sign": lambda x: x * cr.sign(x),
    "sin": cr.sin,
    "softplus": cr.softplus,
    "sqrt": lambda x: cr.sqrt(0.5 + cr.square(x)),
    "stop": lambda x: x * cr.stop_gradient(cr.tanh(x)),
    "uniform": lambda x: x * cr.uniform((wide(x),), x.dtype),
}

# ---------------------------------------------------------------- two values of equal widths

BINARY: dict[str, Callable[[Node, Node], Node]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * cr.tanh(b),
    "divide": lambda a, b: a / (1 + cr.square(b)),
    "power": lambda a, b: (0.5 + cr.sigmoid(a)) ** cr.tanh(b),
    "maximum": cr.maximum,
    "minimum": cr.minimum,
    "where": lambda a, b: cr.where(a < b, a, 0.5 * b),
    "logic": lambda a, b: cr.where(F["logical_xor"](a > 0, F["logical_not"](b >= 0)), cr.sin(a), b),
    "either": lambda a, b: cr.where(F["logical_or"](a <= b, F["isnan"](b)), a, cr.cos(b)),
    "gate": lambda a, b: cr.softmax(a) * b,
    "concat": lambda a, b: cr.concat([a, b], axis=1),
    "stack": lambda a, b: cr.max(cr.stack([a, b, a - b], axis=1), axis=1),
    "outer": lambda a, b: cr.sum(cr.einsum("ni,nj->nij", cr.tanh(a[:, :4]), b[:, :3]), axis=1),
    "attention": lambda a, b: cr.einsum(
        "nij,nj->ni", cr.softmax(cr.expand_dims(a, 2) * cr.expand_dims(b, 1)), b
    ),
}

# ---------------------------------------------------------------- rows, columns, sums

SHAPES: dict[str, Move] = {
    "centre": lambda d, x: x - cr.mean(x, 0),
    "standardise": lambda d, x: (x - cr.mean(x, 0)) / cr.sqrt(cr.var(x, 0) + 0.1),
    "over rows": lambda d, x: cr.softmax(x, axis=0) * 3,
    "largest of rows": lambda d, x: x - 0.5 * cr.max(x, axis=0),
    "largest": lambda d, x: x - cr.max(x, axis=1, keepdims=True),
    "least": lambda d, x: cr.min(x, axis=1, keepdims=True) + x,
    "sums": lambda d, x: cr.concat([x, cr.sum(x, 1, keepdims=True) / wide(x)], axis=1),
    "norm": lambda d, x: x / (1 + cr.norm(x, axis=1, keepdims=True)),
    "logsumexp": lambda d, x: x - cr.logsumexp(x, axis=1, keepdims=True),
    "log softmax": lambda d, x: cr.log_softmax(x) / 4,
    "prod": lambda d, x: x + cr.prod(0.7 + 0.3 * cr.tanh(x), axis=1, keepdims=True),
    "cumsum": lambda d, x: cr.cumsum(x, axis=1, reverse=d.maybe()) / wide(x),
    "std": lambda d, x: x / (0.5 + F["std"](x + 0.01 * d.features(wide(x)), keepdims=True)),
    "slice": lambda d, x: x[:, d.pick.randrange(wide(x)) :: d.pick.choice((1, 2))],
    "column": lambda d, x: x * x[:, :1],
    "backwards": lambda d, x: x[:, ::-1] + x,
    "flip": lambda d, x: cr.flip(x, 1),
    "pad": lambda d, x: cr.pad(x, [(0, 0), (1, 2)], 0.25),
    "repeat": lambda d, x: cr.repeat(x, 2, 1),
    "windows": lambda d, x: cr.sum(slid(d, x), 2) / 3,
    "largest of windows": lambda d, x: cr.max(slid(d, x, -np.inf), 2),
    "convolution": lambda d, x: cr.flatten(
        cr.einsum("npk,ko->npo", slid(d, x), d.weights(3, d.width())) / wide(x)
    ),
    "overlap add": lambda d, x: (
        cr.overlap_add(
            slid(d, x), wide(x), stride=d.pick.choice((1, 2)), padding=d.pick.choice((0, 1))
        )
        / 3
    ),
    "split": lambda d, x: sum(cr.split(cr.concat([x, cr.sin(x)], 1), 2, 1)),
    "transpose": lambda d, x: cr.flatten(
        cr.transpose(cr.reshape(cr.concat([x, x, -x], 1), (-1, 3, wide(x))), (0, 2, 1))
    ),
    "one hot": lambda d, x: cr.one_hot(cr.argmax(x, 1), wide(x), x.dtype) + 0.1 * x,
    "least hot": lambda d, x: cr.one_hot(cr.argmin(x, 1), wide(x), x.dtype) - 0.1 * x,
    "gather": lambda d, x: cr.gather(cr.pad(x, [(0, 0), (0, CODES)]), d.codes(d.width()), 1),
    "the largest": lambda d, x: chosen(d, x, cr.argmax),
    "the least": lambda d, x: chosen(d, x, cr.argmin),
    "at the mean": lambda d, x: chosen(d, x, at_the_mean),
    "looked up": lambda d, x: cr.take(d.weights(wide(x), d.width()), cr.argmax(x, 1), axis=0),
    "isfinite": lambda d, x: cr.where(F["isfinite"](x), x, 0.0),
    "shared": lambda d, x: x @ d.weights(wide(x), d.width()),
    "tied": lambda d, x: tied(cr.tanh(x), d.weights(wide(x), d.width())),
    "twice": lambda d, x: cr.tanh(x * d.weights(wide(x))) * d.weights(wide(x)),
    "penalty": lambda d, x: x * (1 + 0.01 * cr.sum(cr.square(d.weights(3, 2)))),
    "matrices": lambda d, x: cr.flatten(
        cr.reshape(cr.concat([x, x], 1), (-1, 2, wide(x))) @ d.weights(wide(x), d.width())
    ),
}

# ---------------------------------------------------------------- one element, or none

EDGES: dict[str, Move] = {
    "product over none": lambda d, x: x + (x @ d.weights(wide(x), 0)) @ d.weights(0, wide(x)),
    "weights over none": lambda d, x: x @ (d.weights(wide(x), 0) @ d.weights(0, d.width())) + 1,
    "none of many": lambda d, x: cr.concat([x, x @ d.weights(wide(x), 0)], 1),
    "running sum of one": lambda d, x: x + cr.cumsum(x[:, :1], 1, reverse=d.maybe()),
    "running sum of rows of one": lambda d, x: x * cr.cumsum(
        d.weights(1, wide(x)), 0, reverse=d.maybe()
    )[0],
    "running sum of none": lambda d, x: cr.concat([x, cr.cumsum(x[:, :0], 1)], 1),
    "sum of none": lambda d, x: x + cr.sum(x[:, :0], 1, keepdims=True),
    "prod of none": lambda d, x: x * cr.prod(x[:, :0], 1, keepdims=True),
    "prod of one": lambda d, x: x * cr.prod(x[:, :1], 1, keepdims=True),
    "prod over no axis": lambda d, x: cr.prod(x, ()),
    "norm of none": lambda d, x: x + cr.norm(x[:, :0], 1, keepdims=True),
    "exponentials of none": lambda d, x: x + cr.exp(cr.logsumexp(x[:, :0], 1, keepdims=True)),
    "softmax of none": lambda d, x: cr.concat([cr.softmax(x[:, :0]), x], 1),
    "softmax of one": lambda d, x: x * cr.softmax(x[:, :1]) + cr.log_softmax(x[:, -1:]),
    "largest of one": lambda d, x: x - 0.3 * cr.max(x[:, :1], 1, keepdims=True),
    "index of one": lambda d, x: x + cr.gather(x, cr.argmax(x[:, :1], 1, keepdims=True), 1),
    "mean over no axis": lambda d, x: cr.mean(x, ()),
    "stack of one": lambda d, x: cr.sum(cr.stack([x], 1), 1),
    "looked up in one": lambda d, x: x + cr.take(d.weights(1, wide(x)), cr.argmax(x[:, :1], 1)),
}  # fmt: skip


def bag(d: Draft, combine: str, weights: Node | None = None) -> Node:
    """A bag of indices, some of which do not count."""
    length = d.pick.choice((1, 3, 9)) if weights is None else wide(weights)
    return cr.embedding_bag(
        d.codes(length), CODES, d.width(), combine=combine, weights=weights, dtype=d.dtype,
        padding=d.pick.choice((None, 0)), sparse=d.pick.choice((None, True)),
    )  # fmt: skip


def shared_table(d: Draft, width: int) -> Node:
    """Several look-ups of one table that is updated by rows, one of them of several rows."""
    table = cr.parameter(
        f"table{len(d.data)}", d.numbers.normal(size=(CODES, width)), dtype=d.dtype, sparse=True
    )
    several = cr.take(table, d.codes(d.pick.choice((2, 3))))
    return cr.sum(several, 1) - cr.take(table, d.codes()) * cr.tanh(cr.take(table, d.codes()))


def tied(x: Node, w: Node) -> Node:
    """The same weights forwards and backwards."""
    return cr.tanh(x @ w) @ cr.transpose(w)


def attended(d: Draft, x: Node) -> Node:
    """Positions made of a row attend to each other, some of them masked; a row may have none."""
    width, mask = wide(x), d.codes(3) > d.pick.choice((0, 3))
    pieces = cr.reshape(cr.concat([x, cr.sin(x), -x], 1), (-1, 3, width))
    y = cr.multi_head_attention(
        pieces, 2, head_width=2 * d.pick.choice((1, 2)), key_value_heads=d.pick.choice((1, 2)),
        width=d.width(), mask=mask, causal=d.maybe(), dropout=d.pick.choice((0.0, 0.3)),
        positions=d.pick.choice((None, "rotary", "relative", "alibi")),
        projection_bias=False,  # that of the keys has a gradient of 0, which rounding decides
    )  # fmt: skip
    return cr.sequence_pool(y, d.pick.choice(("mean", "max", "last")), mask=mask)


def chosen(d: Draft, x: Node, index: Callable[..., Node]) -> Node:
    """Of pieces of a row, what a number made of each piece chooses from it."""
    pieces = cr.reshape(cr.concat([x, cr.sin(x), -x], 1), (-1, 3, wide(x)))
    axis = d.pick.choice((1, 2))
    return cr.flatten(cr.gather(pieces, index(pieces, axis=axis, keepdims=True), axis=axis))


def at_the_mean(x: Node, axis: int, keepdims: bool) -> Node:
    """An index along the axis that comes out of a mean."""
    size = int(x.shape[axis])
    mean = cr.tanh(cr.mean(x, axis, keepdims=keepdims) + 0.137)
    return cr.cast(cr.floor(0.4999 * size * (1 + mean)), "int32")


def move(d: Draft) -> Node:
    """One more value."""
    x, kind = d.node(), d.pick.randrange(9)
    if kind < 2:
        y = UNARY[d.pick.choice(sorted(UNARY))](x)
    elif kind < 4:
        y = BINARY[d.pick.choice(sorted(BINARY))](x, d.like(x))
    else:
        table = EDGES if kind == 8 else LAYERS if kind < 6 else SHAPES
        y = table[d.pick.choice(sorted(table))](d, x)
    if wide(y) > 100:
        y = cr.dense(y, d.width())
    return 4 * cr.tanh(y / 4) if d.maybe(3) else y


# ---------------------------------------------------------------- losses


def of_numbers(d: Draft, y: Node, weights: Node | None) -> Node:
    t = d.features(wide(y))
    kind = d.pick.choice(("squared", "absolute", "huber", "quantile", "cosine", "poisson"))
    if kind == "cosine" and wide(y) == 1:  # a sign, whose gradient is what rounding leaves
        kind = "squared"
    if kind == "quantile":
        many = [(k + 1) / (wide(y) + 1) for k in range(wide(y))]
        return cr.quantile(y, t[:, 0], quantiles=many, weights=weights)
    if kind == "poisson":
        return cr.poisson(cr.tanh(y), cr.abs(t), weights=weights)
    losses: dict[str, Callable[..., Node]] = {
        "squared": cr.squared_error, "absolute": cr.absolute_error, "huber": cr.huber,
        "cosine": cr.cosine,
    }  # fmt: skip
    return losses[kind](y, t, weights=weights)


def of_classes(d: Draft, y: Node, weights: Node | None) -> Node:
    z, t = cr.dense(y, CODES), d.codes()
    kind = d.pick.choice(("plain", "smooth", "by class", "ignored", "hinge", "kl"))
    if kind == "hinge":
        return cr.hinge(z, t, weights=weights)
    if kind == "kl":
        return cr.kl_divergence(z, cr.softmax(d.features(CODES)), weights=weights)
    more: dict[str, dict[str, Any]] = {
        "plain": {}, "smooth": {"label_smoothing": 0.1}, "ignored": {"ignore_index": 2},
        "by class": {"class_weights": [1.0, 2.0, 0.5, 1.0, 0.0, 3.0]},
    }  # fmt: skip
    return cr.cross_entropy(z, t, weights=weights, **more[kind])


def of_truths(d: Draft, y: Node, weights: Node | None) -> Node:
    t = cr.cast(d.codes(wide(y)) > 2, d.dtype)
    factor = d.pick.choice((None, 2.0))
    return cr.binary_cross_entropy(y, t, weights=weights, pos_weight=factor)


def loss_of(d: Draft) -> tuple[Node, Node]:
    """An output and its loss."""
    y = cr.dense(d.node(), d.width())
    weights = cr.abs(d.features(1)[:, 0]) if d.maybe(3) else None
    if weights is not None:
        weights = weights + 0.1
    loss = d.pick.choice((of_numbers, of_classes, of_truths))(d, y, weights)
    return y, loss


def penalties(d: Draft, outputs: list[Node]) -> list[Node]:
    found = cr.weights_of(outputs)
    if not found or d.maybe():
        return []
    return [d.pick.choice((cr.l1, cr.l2))(x, strength=0.01) for x in found[:2]]


# ---------------------------------------------------------------- the way to train

FIRST_ORDER = sorted(name for name, kind in OPTIMIZERS.items() if kind is not LBFGS)
SETTINGS: tuple[dict[str, Any], ...] = (
    {}, {}, {"clip_norm": 0.5}, {"clip_value": 0.05}, {"clip_norm": 1.0, "clip_value": 0.2},
)  # fmt: skip


def trained_by(pick: random.Random) -> Optimizer:
    name = pick.choice(FIRST_ORDER)
    more: dict[str, Any] = {}
    if name == "sgd" and pick.randrange(2):
        more = {"momentum": 0.9, "nesterov": bool(pick.randrange(2))}
    if name == "rmsprop" and pick.randrange(2):
        more = {"centered": True}
    made = optimizer(name, rate=pick.choice((0.01, 0.1)), **more)
    assert not isinstance(made, LBFGS)
    return made


def network(pick: random.Random, dtype: str | None = None) -> Network:
    """A network that depends on nothing but what `pick` draws."""
    d = Draft(pick, dtype or pick.choice(("float32", "float32", "float64")))
    d.nodes.append(d.features(d.width()))
    for _ in range(pick.randrange(1, 9)):
        d.nodes.append(move(d))
    pairs = [loss_of(d) for _ in range(pick.choice((1, 1, 2)))]
    outputs = [y for y, _ in pairs]
    loss = pairs[0][1]
    for more in [*(one for _, one in pairs[1:]), *penalties(d, outputs)]:
        loss = loss + more
    sizes = [pick.randrange(1, MOST_ROWS + 1) for _ in range(STEPS)]
    batches = [d.numbers.permutation(ROWS)[:size] for size in sizes]
    rule = trained_by(pick)
    schedule = pick.choice((0.01, cr.schedules.Cosine(0.05), cr.schedules.Exponential(0.05, 0.9)))
    rates = rates_of(schedule, 0, STEPS, STEPS)
    return Network(
        loss, outputs, d.data, rule, pick.choice(SETTINGS), batches, rates, pick.randrange(2**40)
    )


networks = st.randoms(use_true_random=False).map(network)
"""The same as a strategy: hypothesis decides, and shrinks what fails."""
