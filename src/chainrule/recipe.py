"""The recipe: from a table and the name of a target to a trained model, every part settable."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from chainrule.data.features import SCALINGS, Features, features
from chainrule.data.schema import Schema
from chainrule.data.sources import read
from chainrule.data.table import Table
from chainrule.data.target import ClassTarget, NumberTarget
from chainrule.errors import SettingError, did_you_mean
from chainrule.fitting import Prepared
from chainrule.graph.node import Node
from chainrule.model import Model
from chainrule.nn.classes import cross_entropy
from chainrule.nn.compose import mlp
from chainrule.nn.layers import dense
from chainrule.nn.losses import absolute_error, huber, squared_error
from chainrule.ops.build import cast
from chainrule.ops.objective import objective
from chainrule.ops.shape import reshape
from chainrule.ops.softmax import softmax
from chainrule.train import schedules
from chainrule.train.lbfgs import LBFGS
from chainrule.train.optim import Optimizer
from chainrule.train.optim.registry import optimizer

LOSSES = {
    "classification": ("cross_entropy",),
    "regression": ("squared_error", "absolute_error", "huber"),
}
SCHEDULES = ("constant", "cosine", "one_cycle", "reduce_on_plateau")
NORMS = ("none", "batch", "layer", "rms")
CLASS_WEIGHTS = ("none", "balanced")
DECAY = {"adamw": 0.3}
"""What is chosen by optimizer: AdamW's is times the rate, the others' is a part of the gradient."""
BLANK = "zeros"
"""Where the output layer starts: from the guess that knows no column, not from random ones."""


@dataclass(frozen=True)
class Config:
    """Everything that decides a training run on a table. None means: chosen by the data.

    Attributes:
        target: the column to predict.
        task: "classification" or "regression".
        kinds: for columns by name, what they are: number, category, boolean, date, text, ignore.
        ignore: columns to leave out.
        scaling: of numbers: "standard", "quantile", or "auto": quantiles for skewed columns.
        hidden: widths of the hidden layers.
        activation: of the hidden layers.
        norm: normalisation after each hidden layer: none, batch, layer or rms.
        dropout: the rate after each hidden layer.
        loss: cross_entropy; squared_error, absolute_error or huber.
        label_smoothing: what cross-entropy takes from the true class for all others.
        class_weights: "balanced" gives rare classes the weight of frequent ones.
        optimizer: its name.
        rate: the learning rate, at its highest.
        decay: of the weights.
        schedule: of the rate: constant, cosine, one_cycle or reduce_on_plateau.
        clip_norm: bound on the length of the gradient.
        batch_size: examples a step.
        epochs: how many times all rows are gone through, at most.
        patience: epochs without improvement after which training stops.
        validation: the share of rows held out.
        groups: a column whose groups are held out whole.
        time: a column by which the latest rows are held out.
        seed: of everything that is random.
    """

    target: str | None = None
    task: str | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    scaling: str = "auto"
    hidden: tuple[int, ...] | None = None
    activation: str = "relu"
    norm: str = "none"
    dropout: float | None = None
    loss: str | None = None
    label_smoothing: float = 0.0
    class_weights: str = "none"
    optimizer: str = "adamw"
    rate: float | None = None
    decay: float | None = None
    schedule: str = "one_cycle"
    clip_norm: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    patience: int | None = None
    validation: float = 0.2
    groups: str | None = None
    time: str | None = None
    seed: int = 0


KEYS = tuple(f.name for f in fields(Config))


def config(**settings: Any) -> Config:
    """A Config from settings by name. Raises SettingError, naming the nearest known one."""
    for key in settings:
        if key not in KEYS:
            raise SettingError("train", f"there is no setting {key!r}", fix=did_you_mean(key, KEYS))
    for key in ("hidden", "ignore"):
        value = settings.get(key)
        if isinstance(value, (int, str)):
            settings[key] = (value,)
        elif value is not None:
            settings[key] = tuple(value)
    return Config(**settings)


def settle(chosen: Config, schema: Schema) -> Config:
    """`chosen` with everything decided that the data decides.

    Raises:
        SettingError: a setting makes no sense for this task.
    """
    assert schema.target is not None
    assert schema.task is not None
    losses = LOSSES[schema.task]
    loss = chosen.loss or losses[0]
    _one_of("loss", loss, losses)
    _one_of("scaling", chosen.scaling, SCALINGS)
    _one_of("schedule", chosen.schedule, SCHEDULES)
    _one_of("norm", chosen.norm, NORMS)
    _one_of("class_weights", chosen.class_weights, CLASS_WEIGHTS)
    rows = max(round(schema.rows * (1 - chosen.validation)), 1)
    batch = chosen.batch_size
    if batch is None:
        batch = int(np.clip(2 ** round(math.log2(rows / 60 + 1)), 16, 256))
    epochs = chosen.epochs
    if epochs is None:
        epochs = int(np.clip(round(4000 / -(-rows // max(batch, 1))), 12, 100))
    width = 64 if rows < 1000 else 128 if rows < 20_000 else 256
    decided: dict[str, Any] = {
        "task": schema.task,
        "hidden": chosen.hidden if chosen.hidden is not None else (width, width),
        "dropout": (0.1 if rows < 100_000 else 0.0) if chosen.dropout is None else chosen.dropout,
        "loss": loss,
        "rate": 3e-3 if chosen.rate is None else chosen.rate,
        "decay": DECAY.get(chosen.optimizer, 0.01) if chosen.decay is None else chosen.decay,
        "batch_size": batch,
        "epochs": epochs,
        "patience": max(10, epochs // 3) if chosen.patience is None else chosen.patience,
    }
    return replace(chosen, target=schema.target.name, **decided)


def build(settled: Config, schema: Schema) -> Model:
    """The untrained model for a table: encoders, hidden layers, output, loss."""
    found = features(schema, scaling=settled.scaling)
    assert found.target is not None
    assert settled.hidden is not None
    h = found.node
    if settled.hidden:
        h = mlp(
            h, settled.hidden, settled.activation,
            dropout=settled.dropout or 0.0,
            norm=None if settled.norm == "none" else settled.norm,
        )  # fmt: skip
    target = schema.target
    if isinstance(target, ClassTarget):
        output, loss = _classes(h, found, target, settled)
    else:
        assert isinstance(target, NumberTarget)
        output, loss = _number(h, found, target, settled)
    model = Model(outputs=output, loss=loss, seed=settled.seed, schema=schema)
    model.notes["config"] = asdict(settled)
    return model


def _classes(h: Node, found: Features, target: ClassTarget, settled: Config) -> tuple[Node, Node]:
    """Probabilities (N, classes), and the cross-entropy."""
    assert found.target is not None
    logits = dense(h, len(target.labels), init=BLANK)
    weights = None
    if settled.class_weights == "balanced":
        counts = np.array(target.counts, float)
        weights = counts.sum() / (len(counts) * counts)
    loss = cross_entropy(
        logits, found.target, label_smoothing=settled.label_smoothing, class_weights=weights
    )
    return softmax(logits), loss


def _number(h: Node, found: Features, target: NumberTarget, settled: Config) -> tuple[Node, Node]:
    """The number in its own unit (N,), and the loss on the standardised number."""
    assert found.target is not None
    mean, std = target.stats.mean, target.stats.std or 1.0
    scaled = reshape(dense(h, 1, init=BLANK), (h.shape[0],))
    function = {
        "squared_error": squared_error, "absolute_error": absolute_error, "huber": huber
    }[settled.loss or "squared_error"]  # fmt: skip
    loss = function(scaled, cast((found.target - mean) / std, "float32"))
    output = cast(scaled, "float64") * std + mean
    return output, objective(loss, output, found.target, kind=settled.loss or "squared_error")


def build_optimizer(settled: Config) -> Optimizer | LBFGS:
    """The optimizer with its schedule."""
    assert settled.rate is not None
    assert settled.decay is not None
    rate: float | schedules.Schedule = settled.rate
    if settled.schedule == "cosine":
        rate = schedules.Cosine(settled.rate)
    elif settled.schedule == "one_cycle":
        rate = schedules.OneCycle(settled.rate)
    elif settled.schedule == "reduce_on_plateau":
        rate = schedules.ReduceOnPlateau(
            settled.rate, patience=max(2, (settled.patience or 9) // 3)
        )
    if settled.optimizer == "lbfgs":
        return LBFGS(decay=settled.decay)
    return optimizer(settled.optimizer, rate=rate, decay=settled.decay)


def learn(table: Table, chosen: Config) -> Schema:
    """What the table teaches about its columns. Raises SettingError, DataError."""
    if chosen.target is None:
        raise SettingError(
            "train", "which column is to be predicted?", got="columns " + ", ".join(table.columns),
            fix="name it: target=...",
        )  # fmt: skip
    left_out = [x for x in (chosen.groups,) if x is not None and x not in chosen.kinds]
    return Schema.learn(
        table, chosen.target, kinds=chosen.kinds, task=chosen.task,
        ignore=list(dict.fromkeys([*chosen.ignore, *left_out])),
    )  # fmt: skip


def run(
    model: Model, data: Table | Prepared, settled: Config, verbose: bool | str | None = True
) -> Model:
    """Train the model on a table, or on what is divided already, as settled."""
    assert settled.batch_size is not None
    assert settled.epochs is not None
    model.fit(
        data, optimizer=build_optimizer(settled), batch_size=settled.batch_size,
        epochs=settled.epochs, validation=settled.validation or None, groups=settled.groups,
        time=settled.time, patience=settled.patience, clip_norm=settled.clip_norm,
        verbose=verbose,
    )  # fmt: skip
    return model


def train(
    source: Table | str | os.PathLike[str] | Any, target: str, *,
    verbose: bool | str | None = True, **settings: Any,
) -> Model:  # fmt: skip
    """A trained model from a table: `cr.train("penguins", target="species")`.

    Args:
        source: a file (CSV, TSV, Parquet, JSON), a SQL query, the name of a data set, or a table
            in memory: pandas, polars, Arrow, NumPy, a dict of columns.
        target: the column to predict.
        settings: as in `Config`; what is not given is chosen by the data.
        verbose: as in `Model.fit`.

    Raises:
        DataError: the table cannot be used. SettingError: a setting makes no sense.
    """
    table = read(source)
    chosen = config(target=target, **settings)
    schema = learn(table, chosen)
    settled = settle(chosen, schema)
    return run(build(settled, schema), table, settled, verbose)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SettingError(
            "train", f"unknown {name} {value!r}", expected=", ".join(known),
            fix=did_you_mean(value, known),
        )  # fmt: skip
