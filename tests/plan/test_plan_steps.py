"""Whole training steps: after three, the state by plans is that of the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
from plans import Planned

import chainrule as cr
from chainrule.engine.compile import build_step
from chainrule.engine.interpreted import Interpreted
from chainrule.engine.totals import with_means
from chainrule.graph import Graph, Node
from chainrule.train.optim import LBFGS, OPTIMIZERS, SGD, Adam, Optimizer, optimizer

ROWS, STEPS = 23, 3
Made = tuple[Node, dict[str, Any]]


def compared(loss: Node, data: dict[str, Any], rule: Optimizer, **settings: Any) -> Planned:
    """Three steps by both, on rows in random order, the last minibatch smaller."""
    step = build_step(Graph(loss), loss, rule, **settings)
    data = with_means(Graph(loss), data)
    generator = np.random.default_rng(5)
    batches = [generator.permutation(ROWS)[: 7 if k < 2 else 5] for k in range(STEPS)]
    one, two = Interpreted(step, {}, 9), Planned(step, {}, 9)
    rates = [0.05, 0.03, 0.02]
    losses = one.run(data, batches, rates)
    npt.assert_allclose(two.run(data, batches, rates), losses, rtol=2e-5, atol=1e-6)
    for name, value in one.read().items():
        found = two.read()[name]
        assert (found.shape, found.dtype) == (value.shape, value.dtype)
        npt.assert_allclose(found, value, rtol=2e-4, atol=2e-5, err_msg=name)
    return two


def table(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(ROWS, *shape)).astype("float32")


def labels(classes: int, *shape: int) -> Any:
    drawn = np.random.default_rng(1).integers(0, classes, (ROWS, *shape))
    return drawn.astype("int32")


def classifier(function: Callable[[Node], Node] = lambda h: cr.dense(h, 4, "relu")) -> Made:
    x, t = cr.input("x", (6,)), cr.input("t", (), dtype="int32")
    logits = cr.dense(function(x), 3, name="logits")
    return cr.cross_entropy(logits, t), {"x": table(6), "t": labels(3)}


# ---------------------------------------------------------------- optimizers

FIRST_ORDER = {name: kind for name, kind in OPTIMIZERS.items() if kind is not LBFGS}


@pytest.mark.parametrize("clipped", [{}, {"clip_norm": 0.3}, {"clip_value": 0.02}], ids=str)
@pytest.mark.parametrize("name", sorted(FIRST_ORDER))
def test_optimizers(name: str, clipped: dict[str, float]) -> None:
    compared(*classifier(), optimizer(name, rate=0.05), **clipped)


@pytest.mark.parametrize(
    "rule",
    [
        SGD(0.1, momentum=0.9),
        SGD(0.1, momentum=0.9, nesterov=True, decay=0.01),
        optimizer("rmsprop", rate=0.01, centered=True),
    ],
    ids=["momentum", "nesterov", "centered"],
)
def test_settings_of_optimizers(rule: Optimizer) -> None:
    compared(*classifier(), rule)


# ---------------------------------------------------------------- layers

LAYERS: dict[str, Callable[[Node], Node]] = {
    "wide": lambda x: cr.dense(x, 9, "tanh"),
    "one": lambda x: cr.dense(x, 1, "sigmoid"),
    "deep": lambda x: cr.mlp(x, (5, 4, 3), "gelu"),
    "dropout": lambda x: cr.dropout(cr.dropout(cr.dense(x, 8, "relu"), 0.3), 0.2),
    "batch norm": lambda x: cr.relu(cr.batch_norm(cr.dense(x, 5, bias=False))),
    "layer norm": lambda x: cr.layer_norm(cr.dense(x, 5, "elu")),
    "rms norm": lambda x: cr.rms_norm(cr.dense(x, 5, "silu")),
    "all in mlp": lambda x: cr.mlp(x, (6, 5), "mish", dropout=0.1, norm="batch"),
    "residual": lambda x: cr.residual(x, lambda h: cr.dense(h, 6, "softplus")),
    "projected": lambda x: cr.residual(x, lambda h: cr.dense(h, 4, "selu"), project=True),
    "parts": lambda x: cr.concat([cr.dense(x[:, :2], 3), cr.flip(x[:, 2:], 1)], 1),
    "attention": lambda x: cr.softmax(cr.dense(x, 6)) * x,
    "images": lambda x: cr.flatten(cr.transpose(cr.reshape(x, (-1, 2, 3)), (0, 2, 1))),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    compared(*classifier(LAYERS[name]), Adam(0.05))


def test_embedding() -> None:
    words, t = cr.input("words", (4,), dtype="int32"), cr.input("t", (), dtype="int32")
    h = cr.mean(cr.embedding(words, 5, 3), 1)
    loss = cr.cross_entropy(cr.dense(h, 3), t)
    compared(loss, {"words": labels(5, 4), "t": labels(3)}, Adam(0.05))


def test_frozen_parameters() -> None:
    loss, data = classifier(lambda x: cr.dense(x, 4, "tanh", name="fixed", trainable=False))
    plan = compared(loss, data, Adam(0.05)).plan
    assert not [b.name for b in plan.updates if b.name.startswith("fixed")]


# ---------------------------------------------------------------- losses


def predicted(width: int) -> Node:
    return cr.dense(cr.dense(cr.input("x", (6,)), 4, "tanh"), width)


def numbers(width: int) -> Node:
    return cr.input("t", (width,))


def of_numbers(loss: Callable[..., Node], **settings: Any) -> Callable[[], Made]:
    return lambda: (
        loss(predicted(2), numbers(2), **settings),
        {"x": table(6), "t": np.abs(table(2, seed=4))},
    )


def of_labels(loss: Callable[..., Node], **settings: Any) -> Callable[[], Made]:
    t = cr.input("t", (), dtype="int32")
    return lambda: (loss(predicted(3), t, **settings), {"x": table(6), "t": labels(3)})


def of_truths(loss: Callable[..., Node], **settings: Any) -> Callable[[], Made]:
    return lambda: (
        loss(predicted(1), numbers(1), **settings),
        {"x": table(6), "t": labels(2, 1).astype("float32")},
    )


def of_chances(loss: Callable[..., Node], **settings: Any) -> Callable[[], Made]:
    def made() -> Made:
        chances = np.exp(table(3, seed=4))
        return (
            loss(predicted(3), numbers(3), **settings),
            {"x": table(6), "t": chances / chances.sum(1, keepdims=True)},
        )

    return made


LOSSES: dict[str, Callable[[], Made]] = {
    "squared": of_numbers(cr.squared_error),
    "absolute": of_numbers(cr.absolute_error),
    "huber": of_numbers(cr.huber),
    "poisson": of_numbers(cr.poisson),
    "quantile": of_numbers(cr.quantile, quantiles=0.3),
    "cosine": of_numbers(cr.cosine),
    "binary": of_truths(cr.binary_cross_entropy),
    "classes": of_labels(cr.cross_entropy, class_weights=[1.0, 2.0, 0.5]),
    "smoothed": of_labels(cr.cross_entropy, label_smoothing=0.1),
    "ignored": of_labels(cr.cross_entropy, ignore_index=1),
    "hinge": of_labels(cr.hinge),
    "divergence": of_chances(cr.kl_divergence),
    "chances": of_chances(cr.cross_entropy),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str) -> None:
    compared(*LOSSES[name](), Adam(0.05))


def test_sample_weights_and_penalties() -> None:
    weights = cr.input("weight", ())
    y = predicted(2)
    loss = cr.squared_error(y, numbers(2), weights=weights)
    loss = loss + cr.l2(*cr.weights_of(y), strength=0.1) + cr.l1(*cr.weights_of(y), strength=0.01)
    data = {"x": table(6), "t": table(2, seed=4), "weight": np.abs(table(seed=6))}
    compared(loss, data, Adam(0.05), clip_norm=1.0)


# ---------------------------------------------------------------- shapes of graphs


def test_shared_parameters_branches_and_several_inputs() -> None:
    a, b, t = cr.input("a", (4,)), cr.input("b", (4,)), cr.input("t", ())
    w = cr.parameter("w", table(5, seed=7)[:4])
    one, two = cr.tanh(a @ w), cr.tanh(b @ w)  # the same weights twice
    near = cr.sum(one * two, 1) + cr.sum(cr.transpose(w) @ w) * 0.01
    side = cr.dense(cr.concat([one, two], 1), 1)[:, 0]
    loss = cr.squared_error(near + side, t)
    compared(loss, {"a": table(4), "b": table(4, seed=2), "t": table(seed=3)}, Adam(0.05))


def test_scalars_only() -> None:
    w = cr.parameter("w", 3.0)
    plan = compared(cr.square(w - 1.0) + cr.exp(-w), {}, Adam(0.1)).plan
    assert len(plan.phases) == 1


def test_a_parameter_without_elements() -> None:
    x, t = cr.input("x", (0,)), cr.input("t", (1,))
    w, b = cr.parameter("w", np.zeros((0, 1), "float32")), cr.parameter("b", [0.5])
    compared(cr.squared_error(x @ w + b, t), {"x": table(0), "t": table(1)}, SGD(0.1))


def test_float64() -> None:
    x, t = cr.input("x", (6,), "float64"), cr.input("t", (1,), "float64")
    loss = cr.squared_error(cr.dense(cr.dense(x, 4, "tanh"), 1), t)
    data = {"x": table(6).astype("float64"), "t": table(1).astype("float64")}
    compared(loss, data, Adam(0.05), clip_norm=0.5)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed: int) -> None:
    generator = np.random.default_rng(seed)
    layers = [LAYERS[name] for name in generator.choice(sorted(LAYERS), 3)]
    widths = generator.integers(1, 8, 3)

    def stacked(x: Node) -> Node:
        for layer, width in zip(layers, widths, strict=True):
            x = cr.dense(layer(cr.dense(x, 6)), int(width), "tanh")
        return x

    rule = SGD(0.05, momentum=0.9)  # others make much of gradients that are 0 but for rounding
    compared(*classifier(stacked), rule, **({"clip_norm": 0.5} if seed % 2 else {}))
