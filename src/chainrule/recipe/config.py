"""The settings of a training run on a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from chainrule.errors import SettingError, did_you_mean
from chainrule.nn.loss import LOSSES

QUALITIES = ("fast", "balanced", "best")
DEFAULT_LOSS = {"classification": "cross_entropy", "regression": "huber"}
TARGET_SCALINGS = ("standard", "log")
EMBEDDINGS = ("none", "piecewise", "periodic")
SCHEDULES = ("constant", "cosine", "log_cosine", "one_cycle", "reduce_on_plateau")
NORMS = ("none", "batch", "layer", "rms")
CLASS_WEIGHTS = ("none", "balanced")
REFITS = ("yes", "no")


@dataclass(frozen=True)
class Config:
    """Everything that decides a training run on a table. None means: chosen by the data.

    Attributes:
        target: the column to predict.
        task: "classification" or "regression".
        quality: how much time to take: "fast", "balanced" or "best".
        kinds: for columns by name, what they are: number, category, boolean, date, text, ignore.
        ignore: columns to leave out.
        scaling: of numbers: "robust", "standard", "quantile", or "auto".
        embedding: of numbers: "piecewise" gives each column functions of it that are linear
            between quantiles, "periodic" cosines of it, "none" nothing.
        members: networks that are trained side by side, and whose predictions are averaged.
        refit: "yes" trains the model once more, on all rows, when its score is known; or "no".
        hidden: widths of the hidden layers.
        activation: of the hidden layers.
        norm: normalisation after each hidden layer: none, batch, layer or rms.
        dropout: the rate after each hidden layer.
        target_scaling: of a number to predict: "standard", or "log": on a logarithmic scale on
            both sides of the median, for targets of heavy tail.
        loss: what is made small; cross_entropy for classes, huber for numbers if None.
        label_smoothing: what cross-entropy takes from the true class for all others.
        class_weights: "balanced" gives rare classes the weight of frequent ones.
        optimizer: its name.
        rate: the learning rate, at its highest, of a layer with 256 inputs.
        decay: of the weights.
        schedule: of the rate: constant, cosine, log_cosine, one_cycle or reduce_on_plateau.
        clip_norm: bound on the length of the gradient.
        batch_size: examples a step.
        epochs: how many times all rows are gone through, at most.
        patience: epochs without improvement after which training stops.
        validation: the share of rows held out; 0 holds out none.
        groups: a column whose groups are held out whole.
        time: a column by which the latest rows are held out.
        seed: of everything that is random.
    """

    target: str | None = None
    task: str | None = None
    quality: str = "balanced"
    kinds: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    scaling: str = "auto"
    embedding: str | None = None
    members: int | None = None
    refit: str | None = None
    hidden: tuple[int, ...] | None = None
    activation: str | None = None
    norm: str = "none"
    dropout: float | None = None
    target_scaling: str | None = None
    loss: str | None = None
    label_smoothing: float | None = None
    class_weights: str = "none"
    optimizer: str = "adamw"
    rate: float | None = None
    decay: float | None = None
    schedule: str | None = None
    clip_norm: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    patience: int | None = None
    validation: float | None = None
    groups: str | None = None
    time: str | None = None
    seed: int = 0


def losses(task: str) -> tuple[str, ...]:
    """The names of the losses for a task, the default first."""
    usual = DEFAULT_LOSS[task]
    return (usual, *(x.name for x in LOSSES.values() if x.recipe == task and x.name != usual))


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


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raises SettingError where a setting is none of the known ones."""
    if value not in known:
        raise SettingError(
            "train", f"unknown {name} {value!r}", expected=", ".join(known),
            fix=did_you_mean(value, known),
        )  # fmt: skip
