"""The settings of a training run on a table, a row each, from which their help is generated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chainrule.data.columns.kinds import KINDS, TASKS
from chainrule.data.columns.pictures import COLOURS
from chainrule.data.features import SCALINGS
from chainrule.data.schema import Schema
from chainrule.display.tables import Section, as_html
from chainrule.errors import SettingError, did_you_mean
from chainrule.model.ranked import BLOCKS
from chainrule.nn.arguments import ACTIVATIONS
from chainrule.nn.init import NAMED_INITIALIZERS
from chainrule.nn.loss import LOSSES
from chainrule.recipe.facts import EFFORTS, Facts
from chainrule.recipe.setting import setting, settings_of, unknown
from chainrule.system.ranks.world import in_group
from chainrule.train.optim import OPTIMIZERS

DEFAULT_LOSS = {"classification": "cross_entropy", "regression": "huber"}
SCHEDULES = ("constant", "cosine", "log_cosine", "one_cycle", "reduce_on_plateau")
DECAYS = {"adamw": 0.3}
"""Weight decay by optimizer: AdamW's is multiplied by the rate; others add it to the gradient."""


def losses(task: str) -> tuple[str, ...]:
    """The names of the losses for a task, the default first."""
    usual = DEFAULT_LOSS[task]
    return (usual, *(x.name for x in LOSSES.values() if x.recipe == task and x.name != usual))


class OfferedLosses(Sequence[str]):
    """The losses of all tasks, as the table of losses has them at the time."""

    def __getitem__(self, index: Any) -> Any:
        return [name for task in TASKS for name in losses(task)][index]

    def __len__(self) -> int:
        return sum(len(losses(task)) for task in TASKS)


@dataclass(frozen=True)
class Config:
    """All settings of a training run on a table. None means: chosen by the data."""

    target: str | None = setting(None, "column", "Data", "the column to predict")
    task: str | None = setting(
        None, "text", "Data", "the kind of prediction; guessed from the target", choices=TASKS,
        by_data=lambda x: x.task,
    )  # fmt: skip
    quality: str = setting(
        "balanced", "text", "Effort",
        "time to spend on a good model; best: 1.5 to 4 times, for 1 to 4 % less loss",
        choices=tuple(EFFORTS),
        more="fast trains one small network, balanced one to four, best four to eight of "
        "different kinds, with weights; best is meant relative to balanced, on the mean of tables",
    )  # fmt: skip
    members: int | None = setting(
        None, "integer", "Effort", "networks trained side by side, whose predictions are averaged",
        least=1, by_data=lambda x: x.members,
    )  # fmt: skip
    mixed: str | None = setting(
        None, "text", "Effort", "members of different kinds, weighted by the rows held out",
        choices=("yes", "no"), by_data=lambda x: "yes" if x.mixes else "no",
        more="kinds differ in embedding, activation, hidden and norm; it is the default of best "
        "where none of these is given",
    )  # fmt: skip
    refit: str | None = setting(
        None, "text", "Effort", "train once more, on all rows, once the score is known",
        choices=("yes", "no"), by_data=lambda x: "yes" if x.refits else "no",
    )  # fmt: skip
    embedding: str | None = setting(
        None, "text", "Network", "functions of each column of numbers as further inputs",
        choices=("none", "piecewise", "periodic"),
        more="piecewise functions are linear between quantiles, periodic ones are cosines",
        by_data=lambda x: "piecewise" if x.embeds else "none",
    )  # fmt: skip
    hidden: tuple[int, ...] | None = setting(
        None, "widths", "Network", "widths of the hidden layers", least=1,
        by_data=lambda x: x.hidden,
    )  # fmt: skip
    activation: str | None = setting(
        None, "text", "Network", "the function after each hidden layer",
        choices=tuple(map(str, ACTIVATIONS)), by_data=lambda x: "relu" if x.grids else "silu",
    )  # fmt: skip
    init: str = setting(
        "auto", "text", "Network", "initial weights of hidden layers; auto suits the activation",
        choices=("auto", *NAMED_INITIALIZERS),
    )  # fmt: skip
    norm: str = setting(
        "none", "text", "Network", "normalisation after each hidden layer",
        choices=("none", "batch", "layer", "rms"),
    )  # fmt: skip
    convolutions: tuple[int, ...] | None = setting(
        None, "widths", "Network", "channels of the convolutions over pictures and signals",
        least=1, more="a pooling after each, or after each pair of equal ones",
        by_data=lambda x: x.convolutions,
    )  # fmt: skip
    dropout: float | None = setting(
        None, "number", "Network", "share of units dropped after each hidden layer",
        least=0, below=1, by_data=lambda x: x.dropout,
    )  # fmt: skip
    loss: str | None = setting(
        None, "text", "Loss",
        "what training minimises; for numbers: " + ", ".join(losses("regression")),
        choices=OfferedLosses(), by_data=lambda x: DEFAULT_LOSS[x.task],
    )  # fmt: skip
    target_scaling: str | None = setting(
        None, "text", "Loss", "how a number to predict is scaled; log suits heavy tails",
        choices=("standard", "log"), more="log is logarithmic on both sides of the median",
        by_data=lambda x: None if x.classifies else "log" if x.heavy_tailed else "standard",
    )  # fmt: skip
    label_smoothing: float | None = setting(
        None, "number", "Loss", "what cross-entropy takes from the true class for all others",
        least=0, below=1, by_data=lambda x: 0.1 if x.classes > 2 and x.balanced else 0.0,
    )  # fmt: skip
    class_weights: str = setting(
        "none", "text", "Loss", "balanced decides as if all classes were equally frequent",
        choices=("none", "balanced"),
        more="more rows of rare classes are found; the probabilities stay as they are",
    )  # fmt: skip
    optimizer: str = setting(
        "adamw", "text", "Optimizer", "the method that minimises the loss",
        choices=tuple(OPTIMIZERS),
    )  # fmt: skip
    rate: float | None = setting(
        None, "number", "Optimizer", "the highest learning rate of a layer with 256 inputs",
        above=0, by_data=lambda x: None if x.length_is_open else x.rate,
    )  # fmt: skip
    decay: float | None = setting(
        None, "number", "Optimizer", "weight decay", least=0,
        by_data=lambda x: DECAYS.get(x.given["optimizer"], 0.01),
    )  # fmt: skip
    schedule: str | None = setting(
        None, "text", "Optimizer", "how the learning rate changes", choices=SCHEDULES,
        by_data=lambda x: "one_cycle" if x.grids else "cosine",
    )  # fmt: skip
    clip_norm: float | None = setting(
        None, "number", "Optimizer", "upper bound on the norm of the gradient", above=0
    )
    precision: str = setting(
        "float32", "text", "Training", "of the factors of products; bfloat16 is quicker on some",
        choices=("float32", "bfloat16"),
        more="bfloat16 is for wide networks, on processors that multiply it; parameters and "
        "predictions stay float32",
    )  # fmt: skip
    batch_size: int | None = setting(
        None, "integer", "Training", "examples per step", least=1,
        by_data=lambda x: x.batch_size,
    )  # fmt: skip
    epochs: int | None = setting(
        None, "integer", "Training", "passes over the training rows, at most", least=1,
        by_data=lambda x: None if x.length_is_open else x.epochs,
    )  # fmt: skip
    patience: int | None = setting(
        None, "integer", "Training", "epochs without improvement after which training stops",
        least=1, by_data=lambda x: max(8, x.epochs // 4) if x.chooses_epoch else None,
    )  # fmt: skip
    validation: float | None = setting(
        None, "number", "Training", "share of rows held out; 0 holds out none", least=0, below=1,
        by_data=lambda x: x.validation,
    )  # fmt: skip
    groups: str | None = setting(
        None, "column", "Training", "a column whose groups are held out whole"
    )
    time: str | None = setting(
        None, "column", "Training", "a column by which the latest rows are held out"
    )
    blocks: int | None = setting(
        None, "integer", "Training", "blocks of each minibatch, which processes may share", least=1,
        more="results have the same bits on any number of processes, and on one with the same "
        "number of blocks; open: 8 where several processes train, else minibatches are not cut",
        by_data=lambda x: BLOCKS if in_group() else None,
    )  # fmt: skip
    seed: int = setting(
        0, "integer", "Training", "the seed of everything random", least=0, most=2**63 - 1
    )
    size: tuple[int, ...] | None = setting(
        None, "widths", "Pictures", "height and width that pictures are scaled to", least=1,
        more="one number for both; open: the size of the files, at most 64 on the longer side",
        by_data=lambda x: None if x.picture is None else x.picture.shape[:2],
    )  # fmt: skip
    colour: str | None = setting(
        None, "text", "Pictures", "what is read of pictures", choices=COLOURS,
        more="open: grey where a sample of them holds no colours", by_data=lambda x: x.colour,
    )  # fmt: skip
    flip: str | None = setting(
        None, "text", "Pictures", "mirror half of the pictures in training", choices=("yes", "no"),
        more="open: where mirrored pictures cannot be told from the others",
        by_data=lambda x: x.flip,
    )  # fmt: skip
    shift: float | None = setting(
        None, "number", "Pictures", "the largest shift in training, as a share of each side",
        least=0, below=1, by_data=lambda x: x.shift,
    )  # fmt: skip
    zoom: float | None = setting(
        None, "number", "Pictures", "the largest share of each side that is cut off in training",
        least=0, below=1, by_data=lambda x: x.zoom,
    )  # fmt: skip
    scaling: str = setting(
        "auto", "text", "Columns", "how numbers are scaled; auto is what has learned best",
        choices=SCALINGS,
    )  # fmt: skip
    signal: tuple[str, ...] = setting(
        (), "names", "Columns", "columns that are moments of a signal, such as x1..x500, or lists"
    )
    ignore: tuple[str, ...] = setting((), "names", "Columns", "columns to leave out")
    gaps: tuple[str, ...] | None = setting(
        None, "texts", "Columns", "texts that are gaps, and no others but empty cells",
        more="none: empty cells alone; open: also NA, ? and the like in CSV, unless they are "
        "quoted or frequent",
    )  # fmt: skip
    kinds: Mapping[str, str] = setting(
        {}, "kinds", "Columns", "what columns are, where the guess is wrong", choices=KINDS
    )

    def _repr_html_(self) -> str:
        rows = tuple(
            (row.group, row.key, str(value), row.help)
            for row in SETTINGS
            if (value := getattr(self, row.key)) not in (None, (), {})
        )
        return as_html([Section("Configuration", rows, ("", "setting", "value", "meaning"))])

    def __post_init__(self) -> None:
        for row in SETTINGS:
            value = getattr(self, row.key)
            if value is not None or row.default is not None:
                object.__setattr__(self, row.key, row.check(value, "train"))


SETTINGS = settings_of(Config)
"""A row for each field of Config."""
BY_KEY = {row.key: row for row in SETTINGS}
KEYS = tuple(BY_KEY)
Config.__doc__ = f"{Config.__doc__}\n\nAttributes:\n" + "\n".join(
    f"    {row.key}: {row.help}{row.values}{'; ' if row.more else ''}{row.more}."
    for row in SETTINGS
)


def config(**settings: Any) -> Config:
    """A Config from settings by name. Raises SettingError, naming the nearest known one."""
    require_known("train", settings, ("verbose",))
    return Config(**settings)


def require_known(
    where: str, names: Iterable[str], own: Sequence[str] = (), at: str | None = None
) -> None:
    """Raise SettingError for a name that Config does not have.

    Args:
        where: the function that the names were given to.
        names: of settings.
        own: the names of the function's own arguments, to be suggested.
        at: the file and line.
    """
    for key in names:
        if key not in BY_KEY:
            raise SettingError(
                where, f"there is no setting {key!r}", at=at,
                fix=did_you_mean(key, (*own, *KEYS)),
            )  # fmt: skip


ONE_TASK = {
    "class_weights": "classification",
    "label_smoothing": "classification",
    "target_scaling": "regression",
}
"""The settings that mean something for one task alone."""


def resolve(chosen: Config, schema: Schema) -> Config:
    """`chosen` with values for all settings that the data determines.

    Raises:
        SettingError: a setting is not valid for this task.
    """
    facts = Facts(vars(chosen), schema)
    resolved = replace(chosen, **{
        row.key: row.by_data(facts)
        for row in SETTINGS
        if row.by_data is not None and getattr(chosen, row.key) is None
    })  # fmt: skip
    for key in ("size", "colour", "flip"):
        if getattr(chosen, key) is not None and facts.picture is None:
            raise SettingError(key, "it is for pictures, and there are none",
                               at=schema.source, fix=f"leave out {key}=")  # fmt: skip
    if resolved.loss not in losses(facts.task):
        raise unknown("train", "loss", resolved.loss, losses(facts.task))
    for key, task in ONE_TASK.items():
        value = getattr(chosen, key)
        if value not in (None, "none", 0.0) and task != facts.task:
            raise SettingError(
                key, f"it is for {task} alone",
                got=f"{value}, and a {facts.task} of {chosen.target}", fix=f"leave out {key}=",
            )  # fmt: skip
    return resolved
