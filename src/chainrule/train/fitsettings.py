"""The settings of a run of `fit`, as a record that checks them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import Any

from chainrule.data.windows import BlockShuffle
from chainrule.engine.devices import AUTO
from chainrule.engine.program import check_backend, check_precision
from chainrule.errors import SettingError, did_you_mean
from chainrule.system.settings import require_integer
from chainrule.train.callbacks import Callback, EarlyStopping, State, as_callbacks
from chainrule.train.checkpoint import Checkpoint, as_checkpoint
from chainrule.train.lbfgs import LBFGS
from chainrule.train.metrics import Metric
from chainrule.train.metrics.registry import Function, several
from chainrule.train.optim import Optimizer
from chainrule.train.optim.registry import optimizer as optimizer_named
from chainrule.train.progress import Progress
from chainrule.train.record import Record, as_record


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """The arguments of `Model.fit` besides the data; their meaning is documented there.

    The optimizer may be a name, the checkpoint a path, and callbacks, metrics and patterns any
    iterable: the record holds an optimizer, a Checkpoint and tuples.

    Raises:
        SettingError: a setting is not allowed.
    """

    optimizer: Optimizer | LBFGS | str | None = None
    batch_size: int = 32
    epochs: int | None = None
    validation: Any = 0.2
    groups: Any = None
    time: Any = None
    patience: int | EarlyStopping | None = None
    keep_best: bool = True
    new_run: bool = False
    total_epochs: int | None = None
    shuffle: bool | BlockShuffle = True
    metrics: Iterable[str | Metric | Function] | None = None
    clip_norm: float | None = None
    clip_value: float | None = None
    trainable: Iterable[str] | None = None
    callbacks: Iterable[Callback | Callable[[State], object]] | Callback | None = None
    record: Record | Iterable[str] | str | bool | None = None
    checkpoint: Checkpoint | str | os.PathLike[str] | None = None
    precision: str = "float32"
    backend: str = "native"
    device: str = "cpu"
    threads: int | None = None
    blocks: int | None = None
    verbose: bool | str | Progress | None = True

    def __post_init__(self) -> None:
        require_integer("fit.batch_size", self.batch_size, 1)
        for name, least in (("epochs", 0), ("threads", 1), ("total_epochs", 1), ("blocks", 1)):
            if getattr(self, name) is not None:
                require_integer(f"fit.{name}", getattr(self, name), least)
        epochs, total = self.epochs, self.total_epochs
        if epochs is not None and total is not None and epochs > total:
            raise SettingError(
                "fit.total_epochs", "the complete run is shorter than this call",
                expected=f"at least epochs={epochs}", got=str(total),
                fix=f"total_epochs={epochs}, or more where other calls belong to the run",
            )  # fmt: skip
        check_backend(self.backend, self.device)
        if self.backend != "native" and (self.blocks or 1) > 1:
            raise SettingError(
                "fit.blocks", "only machine code cuts minibatches into blocks",
                got=f"backend={self.backend!r}", fix="backend='native', or blocks=1",
            )  # fmt: skip
        if self.device not in ("cpu", AUTO) and (self.blocks or 1) > 1:
            raise SettingError(
                "fit.blocks", "only the processor cuts minibatches into blocks",
                got=f"device={self.device!r}", fix="device='cpu', or blocks=1",
            )  # fmt: skip
        check_precision(self.precision, self.backend, self.device)
        optimizer = None if self.optimizer is None else as_optimizer(self.optimizer)
        if isinstance(optimizer, LBFGS) and self.precision != "float32":
            raise SettingError(
                "fit.precision", "L-BFGS compares losses that are alike in all digits of bfloat16",
                fix='precision="float32", or another optimizer',
            )  # fmt: skip
        object.__setattr__(self, "optimizer", optimizer)
        object.__setattr__(self, "callbacks", tuple(as_callbacks(self.callbacks)))
        object.__setattr__(self, "record", as_record(self.record))
        object.__setattr__(self, "checkpoint", as_checkpoint(self.checkpoint))
        if self.metrics is not None:
            object.__setattr__(self, "metrics", several(self.metrics))
        if self.trainable is not None:
            one = isinstance(self.trainable, str)
            object.__setattr__(
                self, "trainable", (self.trainable,) if one else tuple(self.trainable)
            )

    @property
    def stopping(self) -> EarlyStopping:
        """The rule that selects the best epoch; it stops the run only with `patience`."""
        if isinstance(self.patience, EarlyStopping):
            return self.patience
        return EarlyStopping() if self.patience is None else EarlyStopping(patience=self.patience)


NAMES = tuple(x.name for x in fields(FitSettings))


def require_known(where: str, names: Iterable[str], candidates: Iterable[str] = NAMES) -> None:
    """Raises SettingError for a name that is not a setting of `fit`."""
    candidates = tuple(candidates)
    for name in names:
        if name not in candidates:
            raise SettingError(
                where, f"Model.fit has no setting {name!r}", fix=did_you_mean(name, candidates)
            )


def as_optimizer(given: Optimizer | LBFGS | str) -> Optimizer | LBFGS:
    """Returns an optimizer, also by its name. Raises SettingError."""
    if isinstance(given, (Optimizer, LBFGS)):
        return given
    if isinstance(given, str):
        return optimizer_named(given)
    raise SettingError(
        "fit", "this is not an optimizer", expected="such as cr.Adam(1e-3)", got=repr(given)
    )
