"""A design of the playground: the choices of a user, checked, and the script that repeats a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from chainrule.errors import SettingError, did_you_mean
from chainrule.nn.arguments import ACTIVATIONS
from chainrule.nn.init import NAMED_INITIALIZERS
from chainrule.recipe.config import BY_KEY, Config, config
from chainrule.train.optim import OPTIMIZERS

CHOICES = {
    "activation": [x for x in map(str, ACTIVATIONS) if "softmax" not in x],
    "init": ["auto", *NAMED_INITIALIZERS],
    "norm": ["none", "batch", "layer", "rms"],
    "optimizer": [name for name in OPTIMIZERS if name != "lbfgs"],
}
"""The values of the choices; L-BFGS has no minibatches to step through."""

MAX_LAYERS, MAX_UNITS, MAX_EPOCHS = 8, 512, 1_000_000

PLAIN = {
    "quality": "fast", "members": 1, "refit": "no", "embedding": "none", "schedule": "constant",
    "label_smoothing": 0.0,
}  # fmt: skip
"""The settings of a recipe by which its network is the plain one that the page shows."""


@dataclass(frozen=True)
class Design:
    """The choices of a user: see the settings of a recipe of the same names."""

    hidden: tuple[int, ...] = (8, 4)
    activation: str = "tanh"
    init: str = "auto"
    norm: str = "none"
    dropout: float = 0.0
    optimizer: str = "sgd"
    rate: float = 0.03
    decay: float = 0.0
    batch_size: int = 16
    seed: int = 0
    ignore: tuple[str, ...] = ()

    @classmethod
    def of(cls, choices: object) -> Design:
        """The design of plain values, such as those of a page.

        Raises:
            SettingError: a choice is not known or not valid.
        """
        if not isinstance(choices, Mapping):
            raise SettingError("design", "not a design", expected="its settings by name")
        known = [x.name for x in fields(cls)]
        checked: dict[str, Any] = {}
        for key, value in choices.items():
            if key not in known:
                raise SettingError(
                    "design", f"there is no setting {key!r}", fix=did_you_mean(str(key), known)
                )
            checked[key] = BY_KEY[key].check(value, "design")
        made = cls(**checked)
        for key, values in CHOICES.items():
            if getattr(made, key) not in values:
                raise SettingError(
                    "design", f"{key} is not one that can be shown", got=getattr(made, key),
                    expected=", ".join(values),
                )  # fmt: skip
        if len(made.hidden) > MAX_LAYERS or any(n > MAX_UNITS for n in made.hidden):
            raise SettingError(
                "design", "the network is too large for the playground", got=list(made.hidden),
                expected=f"at most {MAX_LAYERS} hidden layers of {MAX_UNITS} units",
                fix="chainrule train DATA --live",
            )  # fmt: skip
        return made

    def settings(self, epochs: int, task: str) -> dict[str, Any]:
        """The settings of a recipe for a run of so many epochs, all of them carried out."""
        plain = dict(PLAIN)
        if task != "classification":
            del plain["label_smoothing"]
        return plain | asdict(self) | {"epochs": epochs, "patience": epochs}

    def config(self, target: str, epochs: int, task: str) -> Config:
        """The settings as a Config."""
        return config(target=target, **self.settings(epochs, task))

    def to_dict(self) -> dict[str, Any]:
        """The choices as JSON values."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    def script(self, source: str, target: str, epochs: int, task: str) -> str:
        """A Python program that repeats the run, and prints its losses."""
        lines = [f"    {k}={v!r}," for k, v in self.settings(max(epochs, 1), task).items()]
        return "\n".join([
            "import chainrule as cr",
            "",
            "model = cr.train(",
            f"    {source!r},",
            f"    target={target!r},",
            *lines,
            ")",
            'print(*model.history["loss"], sep="\\n")',
            "",
        ])  # fmt: skip
