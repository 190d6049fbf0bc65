"""The settings of `train` and `search`, typed for checkers and editors."""

# Written by docs/generate.py from the rows of config.py: change those, not this file.
# fmt: off

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict


class Options(TypedDict, total=False):
    """The settings of Config but the target; those left out are chosen by the data."""

    task: Literal["classification", "regression"] | None
    """Data: the kind of prediction; guessed from the target."""

    quality: Literal["fast", "balanced", "best"]
    """Effort: time to spend on a good model; best: 1.5 to 4 times, for 1 to 4 % less loss."""

    members: int | None
    """Effort: networks trained side by side, whose predictions are averaged."""

    mixed: Literal["yes", "no"] | None
    """Effort: members of different kinds, weighted by the rows held out."""

    refit: Literal["yes", "no"] | None
    """Effort: train once more, on all rows, once the score is known."""

    embedding: Literal["none", "piecewise", "periodic"] | None
    """Network: functions of each column of numbers as further inputs."""

    hidden: int | Sequence[int] | None
    """Network: widths of the hidden layers."""

    activation: Literal[
        "linear", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish",
        "softplus", "tanh", "sigmoid", "hard_sigmoid", "hard_tanh", "softsign",
        "softmax", "log_softmax", "exp", "sin",
    ] | None
    """Network: the function after each hidden layer."""

    init: Literal[
        "auto", "he_normal", "he_uniform", "glorot_normal", "glorot_uniform",
        "lecun_normal", "lecun_uniform", "orthogonal", "zeros", "ones", "normal",
        "uniform",
    ]
    """Network: initial weights of hidden layers; auto suits the activation."""

    norm: Literal["none", "batch", "layer", "rms"]
    """Network: normalisation after each hidden layer."""

    convolutions: int | Sequence[int] | None
    """Network: channels of the convolutions over pictures and signals."""

    dropout: float | None
    """Network: share of units dropped after each hidden layer."""

    loss: str | None
    """Loss: what training minimises; for numbers: huber, squared_error, absolute_error."""

    target_scaling: Literal["standard", "log"] | None
    """Loss: how a number to predict is scaled; log suits heavy tails."""

    label_smoothing: float | None
    """Loss: what cross-entropy takes from the true class for all others."""

    class_weights: Literal["none", "balanced"]
    """Loss: balanced decides as if all classes were equally frequent."""

    optimizer: Literal[
        "adam", "amsgrad", "adamw", "nadam", "radam", "adamax", "lamb", "sgd", "lion",
        "rmsprop", "adagrad", "adadelta", "lbfgs",
    ]
    """Optimizer: the method that minimises the loss."""

    rate: float | None
    """Optimizer: the highest learning rate of a layer with 256 inputs."""

    decay: float | None
    """Optimizer: weight decay."""

    schedule: Literal[
        "constant", "cosine", "log_cosine", "one_cycle", "reduce_on_plateau",
    ] | None
    """Optimizer: how the learning rate changes."""

    clip_norm: float | None
    """Optimizer: upper bound on the norm of the gradient."""

    precision: Literal["float32", "bfloat16"]
    """Training: of the factors of products; bfloat16 is quicker on some."""

    batch_size: int | None
    """Training: examples per step."""

    epochs: int | None
    """Training: passes over the training rows, at most."""

    patience: int | None
    """Training: epochs without improvement after which training stops."""

    validation: float | None
    """Training: share of rows held out; 0 holds out none."""

    groups: str | None
    """Training: a column whose groups are held out whole."""

    time: str | None
    """Training: a column by which the latest rows are held out."""

    blocks: int | None
    """Training: blocks of each minibatch, which processes may share."""

    seed: int
    """Training: the seed of everything random."""

    size: int | Sequence[int] | None
    """Pictures: height and width that pictures are scaled to."""

    colour: Literal["grey", "colour"] | None
    """Pictures: what is read of pictures."""

    flip: Literal["yes", "no"] | None
    """Pictures: mirror half of the pictures in training."""

    shift: float | None
    """Pictures: the largest shift in training, as a share of each side."""

    zoom: float | None
    """Pictures: the largest share of each side that is cut off in training."""

    scaling: Literal["auto", "robust", "standard", "quantile"]
    """Columns: how numbers are scaled; auto is what has learned best."""

    signal: str | Sequence[str]
    """Columns: columns that are moments of a signal, such as x1..x500, or lists."""

    ignore: str | Sequence[str]
    """Columns: columns to leave out."""

    gaps: str | Sequence[str] | None
    """Columns: texts that are gaps, and no others but empty cells."""

    kinds: Mapping[str, str]
    """Columns: what columns are, where the guess is wrong."""
